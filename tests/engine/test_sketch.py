"""Percentiles from a sketch."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peekaping.engine.sketch import Sketch, merge_into, percentile, step_of, value_of

latencies = st.lists(st.integers(0, 10**7), min_size=1, max_size=200)


def sketch_of(values: list[int]) -> Sketch:
    sketch: Sketch = {}
    for value in values:
        merge_into(sketch, {step_of(value): 1})
    return sketch


@given(st.integers(1, 10**9))
def test_a_step_stands_for_its_values_to_within_two_percent(value: int) -> None:
    assert value_of(step_of(value)) == pytest.approx(value, rel=0.02 + 1e-9)


@given(latencies, st.floats(0, 1))
def test_percentiles_are_right_to_within_two_percent(values: list[int], fraction: float) -> None:
    exact = sorted(values)[max(1, math.ceil(fraction * len(values))) - 1]
    assert percentile(sketch_of(values), fraction) == pytest.approx(exact, rel=0.02 + 1e-9)


@given(latencies, latencies)
def test_merging_sketches_is_sketching_everything(some: list[int], others: list[int]) -> None:
    merged = sketch_of(some)
    merge_into(merged, sketch_of(others))
    assert merged == sketch_of([*some, *others])


def test_an_empty_sketch_has_no_percentile() -> None:
    assert percentile({}, 0.5) is None
