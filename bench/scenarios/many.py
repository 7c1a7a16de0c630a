"""Thousands of monitors for a long time: whether checks stay punctual, and what a mostly idle fleet costs."""

from __future__ import annotations

from typing import NamedTuple

from bench.figures import Figure
from bench.lab import Lab, target
from bench.steady import Steady, memory_without_monitors, watch


class Case(NamedTuple):
    monitors: int
    interval_ms: int
    seconds: float
    late_p99_ms: int | None = None
    late_max_ms: int | None = None
    core_percent: int | None = None
    kb: int | None = None


FULL = (
    Case(10_000, 2000, 600, late_p99_ms=5, late_max_ms=50),
    Case(10_000, 60_000, 120, late_p99_ms=5, core_percent=5),
    Case(100_000, 60_000, 60, kb=8),
)
# At 60 s a quick look can come before every monitor had its first check; 10,000 at 6 s are as many checks a second as
# 100,000 at 60 s.
QUICK = (
    Case(10_000, 2000, 4, late_p99_ms=5, late_max_ms=50),
    Case(10_000, 60_000, 4, late_p99_ms=5, core_percent=5),
    Case(10_000, 6000, 3, kb=8),
)


def run(lab: Lab) -> list[Figure]:
    base_kb = memory_without_monitors(lab)
    figures = []
    for case in lab.pick(FULL, QUICK):
        with target(lab) as url:
            seen = watch(
                lab,
                case.monitors,
                url,
                case.interval_ms,
                case.seconds,
                base_kb=None if case.kb is None else base_kb,
            )
        figures += _figures(case, seen)
    return figures


def _figures(case: Case, seen: Steady) -> list[Figure]:
    name = f"{case.monitors:,} monitors at {case.interval_ms // 1000} s"
    figures = [
        Figure(
            name=f"{name}: made of those due",
            unit="%",
            ours=[100 * seen.checks / seen.due],
            better="more",
            goal=99.9,
        ),
        Figure(name=f"{name}: late, 99th percentile", unit="ms", ours=[seen.late_p99_ms], goal=case.late_p99_ms),
        Figure(name=f"{name}: late, most", unit="ms", ours=[seen.late_max_ms], goal=case.late_max_ms),
        Figure(name=f"{name}: of one core", unit="%", ours=[100 * seen.core_share], goal=case.core_percent),
    ]
    if seen.kb is not None:
        figures.append(Figure(name=f"{name}: resident memory of each", unit="kB", ours=[seen.kb], goal=case.kb))
    return figures
