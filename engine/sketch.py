"""A latency sketch: how often each magnitude occurred, in logarithmic steps, so that percentiles merge by adding.

The idea is DDSketch's (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", PVLDB 12(12), 2019). Steps of 4 % give every percentile to within 2 %; a year of answers between 1 ms and a
minute needs at most 282 steps, an ordinary monitor's hour about ten.
"""

from __future__ import annotations

import math

Sketch = dict[int, int]
"""Step to count. Step 0 is "under one millisecond", step n > 0 holds values up to GAMMA ** (n - 1) milliseconds."""

GAMMA = 1.04
_PER_STEP = 1 / math.log(GAMMA)


def step_of(milliseconds: int) -> int:
    """The step that a latency falls into."""
    return 0 if milliseconds < 1 else math.ceil(math.log(milliseconds) * _PER_STEP) + 1


def value_of(step: int) -> float:
    """The latency that a step stands for, in milliseconds: off by at most 2 % from any it holds."""
    return 0.0 if step == 0 else 2 * GAMMA ** (step - 1) / (GAMMA + 1)


def merge_into(target: Sketch, other: Sketch) -> None:
    """Add `other`'s counts to `target`."""
    for step, count in other.items():
        target[step] = target.get(step, 0) + count


def percentile(sketch: Sketch, fraction: float) -> float | None:
    """The latency below which `fraction` (0 to 1) of the values lie, in milliseconds; None for an empty sketch."""
    total = sum(sketch.values())
    if not total:
        return None
    rank = max(1, math.ceil(fraction * total))
    for step in sorted(sketch):
        rank -= sketch[step]
        if rank <= 0:
            return value_of(step)
    raise AssertionError("unreachable: the counts add up to the total")
