"""The questions, one file for each. A scenario is a function of the lab that gives figures; it measures, and judges nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bench.figures import Figure
from bench.lab import Lab
from bench.scenarios import api, base, capacity, checks, growth, https, live, many, push, start, storage


class Scenario(NamedTuple):
    """What is run, and about how many seconds that takes."""

    run: Callable[[Lab], list[Figure]]
    full_s: int
    quick_s: int


SCENARIOS = {
    "base": Scenario(base.run, 55, 10),
    "checks": Scenario(checks.run, 230, 15),
    "capacity": Scenario(capacity.run, 165, 35),
    "many": Scenario(many.run, 975, 40),
    "growth": Scenario(growth.run, 305, 15),
    "start": Scenario(start.run, 65, 15),
    "https": Scenario(https.run, 165, 10),
    "storage": Scenario(storage.run, 10, 5),
    "push": Scenario(push.run, 55, 5),
    "live": Scenario(live.run, 45, 10),
    "api": Scenario(api.run, 150, 30),
}
