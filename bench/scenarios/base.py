"""The least that must hold: 2,000 monitors at 1 s on one core, results stored."""

from __future__ import annotations

from bench.figures import Figure
from bench.lab import Lab, target
from bench.steady import memory_without_monitors, watch

MONITORS, INTERVAL_MS = 2000, 1000


def run(lab: Lab) -> list[Figure]:
    base_kb = memory_without_monitors(lab)
    with target(lab) as url:
        seen = watch(lab, MONITORS, url, INTERVAL_MS, lab.pick(30.0, 3.0), base_kb=base_kb)
    name = f"{MONITORS:,} monitors at {INTERVAL_MS // 1000} s"
    return seen.figures(name, made=99.9, late_p99_ms=50, late_max_ms=None, cpu_us=250, kb=12)
