"""The questions, one file for each. A scenario is a function of the lab that gives figures, with goals where there are any."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bench.figures import Figure
from bench.lab import Lab
from bench.scenarios import api, base, capacity, checks, growth, https, live, many, push, start, storage


class Scenario(NamedTuple):
    """What is run, what it asks in a few words, and about how many seconds it takes."""

    run: Callable[[Lab], list[Figure]]
    question: str
    full_s: int
    quick_s: int


SCENARIOS = {
    "base": Scenario(base.run, "2,000 monitors every second: the least that must hold", 55, 10),
    "checks": Scenario(checks.run, "CPU of an HTTP check, beside other probers and clients", 230, 15),
    "capacity": Scenario(capacity.run, "checks a second that one core makes", 165, 35),
    "many": Scenario(many.run, "10,000 and 100,000 monitors: punctuality, CPU, memory", 975, 40),
    "growth": Scenario(growth.run, "the same rate of checks, made by ever more monitors", 305, 15),
    "start": Scenario(start.run, "how soon a server with 10,000 monitors serves", 65, 15),
    "https": Scenario(https.run, "a full TLS handshake for each check, beside openssl", 165, 10),
    "storage": Scenario(storage.run, "heartbeats taken, their size, what looking back costs", 10, 5),
    "push": Scenario(push.run, "durable pushes over HTTP", 55, 5),
    "live": Scenario(live.run, "live messages to a hundred subscribers", 45, 10),
    "api": Scenario(api.run, "CPU of ten kinds of GET, and of 200 clients at once", 150, 30),
}
