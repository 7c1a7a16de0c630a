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
    "base": Scenario(base.run, 70, 25),
    "checks": Scenario(checks.run, 280, 35),
    "capacity": Scenario(capacity.run, 180, 50),
    "many": Scenario(many.run, 980, 70),
    "growth": Scenario(growth.run, 290, 35),
    "start": Scenario(start.run, 75, 15),
    "https": Scenario(https.run, 175, 30),
    "storage": Scenario(storage.run, 60, 20),
    "push": Scenario(push.run, 60, 10),
    "live": Scenario(live.run, 60, 10),
    "api": Scenario(api.run, 170, 60),
}
