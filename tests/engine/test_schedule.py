"""When a monitor is checked."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import example, given
from hypothesis import strategies as st

from peekaping.engine.schedule import SLOTS, Anchor, next_due, phase_ms, retry_due, until_slot_ms

numbers = st.integers(1, 10**9)
intervals = st.integers(1000, 366 * 86_400_000)
utc = st.integers(0, 4 * 10**12)


@given(numbers, intervals, utc)
def test_a_slot_comes_within_one_interval_and_every_interval_after(number: int, interval: int, now: int) -> None:
    wait = until_slot_ms(number, interval, now)
    assert 0 <= wait < interval
    assert until_slot_ms(number, interval, now + wait) == 0
    assert until_slot_ms(number, interval, now + wait + interval) == 0


@given(numbers, intervals, utc, st.integers(0, 10**9))
def test_a_restart_finds_the_slot_the_monitor_had_before(number: int, interval: int, now: int, off_for: int) -> None:
    before = now + until_slot_ms(number, interval, now)
    after = now + off_for + until_slot_ms(number, interval, now + off_for)
    assert (after - before) % interval == 0


@given(st.integers(2, 20_000), st.integers(1, 10**6))
def test_monitors_added_one_after_the_other_are_spread_evenly(count: int, first: int) -> None:
    interval = 60_000
    phases = sorted(phase_ms(number, interval) for number in range(first, first + count))
    gaps = [later - earlier for earlier, later in zip(phases, [*phases[1:], phases[0] + interval], strict=True)]
    # n multiples of the golden ratio's fraction leave no gap wider than 1 / phi**(log_phi(n) - 1) < 2.7 / n.
    assert max(gaps) <= 2.7 * interval / count + interval / SLOTS
    # How many of them fall into a slot differs from the mean by less than a multiple of log n (Kuipers and Niederreiter, Uniform
    # Distribution of Sequences, 2.3): by 2.1 in the worst of 400 fleets tried.
    assert max(Counter(phases).values()) <= count / SLOTS + 3, "no slot has much more to do than the others"


@given(utc, st.floats(0, 1e6))
def test_monitors_of_one_slot_are_due_in_the_same_instant(now: int, passed: float) -> None:
    anchor = Anchor(0.0, now)
    slots = defaultdict(set)
    for number in range(1, 10_001):
        slots[phase_ms(number, 60_000)].add(anchor.next_slot(number, 60_000, passed))
    assert len(slots) == SLOTS
    assert all(len(dues) == 1 for dues in slots.values())
    assert all(passed - 0.001 <= due <= passed + 60 for dues in slots.values() for due in dues)


@given(numbers, intervals, utc, st.floats(0, 1e6), st.floats(0, 1e6))
def test_whenever_a_monitor_is_started_its_slots_are_the_same(
    number: int, interval: int, now: int, one: float, other: float
) -> None:
    anchor = Anchor(0.0, now)
    rounds = (anchor.next_slot(number, interval, other) - anchor.next_slot(number, interval, one)) * 1000 / interval
    assert abs(rounds - round(rounds)) <= 1e-6


@given(
    first=st.floats(0, 1e6),
    interval=st.floats(0.1, 1e5),
    slot=st.integers(0, 10_000),
    took=st.floats(0, 20),
)
@example(first=0.0, interval=1.0, slot=0, took=1.0)
def test_the_next_check_is_the_latest_slot_not_yet_checked(
    first: float, interval: float, slot: int, took: float
) -> None:
    due = first + slot * interval
    now = due + took * interval  # in intervals
    following, missed = next_due(first, interval, due, now)
    index = round((following - first) / interval)
    assert abs(first + index * interval - following) <= 1e-6 * interval + 1e-6, "on the grid"
    assert index > slot, "a slot is checked once"
    assert index == slot + 1 + missed, "every slot is checked or counted as missed"
    assert following <= now + interval * (1 + 1e-5) + 1e-6, "the next check is at most an interval away"
    if missed:
        assert following + interval > now - 1e-6, "of the slots that passed the latest is checked"


def test_a_check_that_took_its_whole_interval_loses_no_slot() -> None:
    assert next_due(first=10.0, interval=5.0, due=20.0, now=25.0) == (25.0, 0)
    assert next_due(first=10.0, interval=5.0, due=20.0, now=25.3) == (25.0, 0)
    assert next_due(first=10.0, interval=5.0, due=20.0, now=24.9) == (25.0, 0)


def test_slots_missed_while_the_host_slept_are_counted_and_not_replayed() -> None:
    assert next_due(first=0.0, interval=5.0, due=20.0, now=3600.1) == (3600.0, 715)


def test_a_retry_returns_to_the_grid() -> None:
    due = retry_due(3.0, due=20.0, now=20.2)
    assert due == 23.0
    assert next_due(first=0.0, interval=10.0, due=due, now=23.1) == (30.0, 0)


def test_a_retry_that_is_overdue_is_due_now() -> None:
    assert retry_due(3.0, due=20.0, now=30.0) == 30.0
