"""Thousands of monitors for a long time: whether checks stay punctual, and what a mostly idle fleet costs."""

from __future__ import annotations

from typing import NamedTuple

from bench.figures import Figure
from bench.lab import Lab, target
from bench.steady import memory_without_monitors, watch


class Case(NamedTuple):
    monitors: int
    interval_ms: int
    seconds: float
    goals: dict[str, float | None]
    """What is shown of it (`Steady.figures`)."""


BUSY = {"late_p99_ms": 5.0, "late_max_ms": 50.0, "core": None}
IDLE = {"late_p99_ms": 5.0, "late_max_ms": None, "core": 5.0}
LARGE = {"late_p99_ms": None, "late_max_ms": None, "core": None, "kb": 8.0}
FULL = (Case(10_000, 2000, 600, BUSY), Case(10_000, 60_000, 120, IDLE), Case(100_000, 60_000, 60, LARGE))
QUICK = (Case(10_000, 2000, 3, {**BUSY, "kb": 8.0}),)
"""What an idle fleet costs shows in minutes only."""


def run(lab: Lab) -> list[Figure]:
    base_kb = memory_without_monitors(lab)
    figures = []
    for case in lab.pick(FULL, QUICK):
        with target(lab) as url:
            seen = watch(lab, case.monitors, url, case.interval_ms, case.seconds, base_kb=base_kb)
        figures += seen.figures(f"{case.monitors:,} monitors at {case.interval_ms // 1000} s", made=99.9, **case.goals)
    return figures
