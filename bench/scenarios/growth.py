"""How cost grows with the number of monitors: a thousand checks a second, made by ever more monitors.

The rate is the same in every row, so that what changes is the number alone.
"""

from __future__ import annotations

from bench.charts import GROWTH
from bench.figures import Figure
from bench.lab import Lab, target
from bench.steady import memory_without_monitors, watch


def run(lab: Lab) -> list[Figure]:
    base_kb = memory_without_monitors(lab)
    figures = []
    with target(lab) as url:
        for count in lab.pick((100, 1000, 10_000, 100_000), (100, 1000)):
            seen = watch(lab, count, url, count, lab.pick(30.0, 2.0), base_kb=base_kb)
            figures += seen.figures(f"{count:,} {GROWTH}", cpu_us=None, kb=None, late_p99_ms=None)
    return figures
