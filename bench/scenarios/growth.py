"""How cost grows with the number of monitors: a thousand checks a second, made by ever more monitors.

The rate is the same in every row, so that what changes is the number alone.
"""

from __future__ import annotations

from bench.figures import Figure
from bench.lab import Lab, target
from bench.steady import memory_without_monitors, watch


def run(lab: Lab) -> list[Figure]:
    base_kb = memory_without_monitors(lab)
    figures = []
    with target(lab) as url:
        for count in lab.pick((100, 1000, 10_000, 100_000), (100, 1000)):
            seen = watch(lab, count, url, count, lab.pick(30.0, 3.0), base_kb=base_kb)
            assert seen.kb is not None, "memory was asked for"
            name = f"{count:,} monitors, 1,000 checks/s"
            figures += [
                Figure(name=f"{name}: CPU of a check", unit="µs", ours=[seen.cpu_us]),
                Figure(name=f"{name}: resident memory of each", unit="kB", ours=[seen.kb]),
                Figure(name=f"{name}: late, 99th percentile", unit="ms", ours=[seen.late_p99_ms]),
            ]
    return figures
