"""How many checks a second one core carries, whole path, with new and with kept connections.

Asked for is exactly the goal: what counts is how much of it is made, and how late. The target runs on the other core.
"""

from __future__ import annotations

from typing import Any

from bench.figures import Figure
from bench.lab import Lab, target
from bench.steady import watch

CASES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("new connections", 7500, {}),
    ("kept connections", 10_000, {"keepAlive": True}),
)


def run(lab: Lab) -> list[Figure]:
    figures = []
    with target(lab) as url:
        for name, rate, fields in CASES:
            seen = watch(lab, rate, url, 1000, lab.pick(60.0, 3.0), **fields)
            figures += [
                Figure(
                    name=f"Checks a second, {name}, of {rate:,} due",
                    unit="1/s",
                    ours=[seen.checks / seen.seconds],
                    better="more",
                    goal=rate * 0.999,  # an edge of the window may cut a check
                ),
                Figure(name=f"… of one core, {name}", unit="%", ours=[seen.core]),
                Figure(name=f"… not made, {name}", unit="", ours=[max(0, seen.due - seen.checks - seen.bad)]),
                Figure(name=f"… failed, {name}", unit="", ours=[seen.bad], goal=0),
                Figure(name=f"… late, 99th percentile, {name}", unit="ms", ours=[seen.late_p99_ms]),
                Figure(name=f"… late, most, {name}", unit="ms", ours=[seen.late_max_ms]),
            ]
    return figures
