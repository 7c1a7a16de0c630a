"""The least that must hold: 2,000 monitors at 1 s on one core, results stored."""

from __future__ import annotations

from bench.figures import Figure
from bench.lab import Lab, target
from bench.steady import memory_without_monitors, watch

MONITORS, INTERVAL_MS = 2000, 1000


def run(lab: Lab) -> list[Figure]:
    base_kb = memory_without_monitors(lab)
    with target(lab) as url:
        seen = watch(lab, MONITORS, url, INTERVAL_MS, lab.pick(30.0, 4.0), base_kb=base_kb)
    name = f"{MONITORS:,} monitors at {INTERVAL_MS // 1000} s"
    assert seen.kb is not None
    return [
        Figure(
            name=f"{name}: made of those due", unit="%", ours=[100 * seen.checks / seen.due], better="more", goal=99.9
        ),
        Figure(name=f"{name}: late, 99th percentile", unit="ms", ours=[seen.late_p99_ms], goal=50),
        Figure(name=f"{name}: late, most", unit="ms", ours=[seen.late_max_ms]),
        Figure(name=f"{name}: CPU of each check", unit="µs", ours=[seen.cpu_us], goal=250),
        Figure(name=f"{name}: resident memory of each", unit="kB", ours=[seen.kb], goal=12),
    ]
