"""When a monitor is checked: rules over values. Due times are seconds on trio's clock.

Every monitor has a slot in its interval, fixed by its number and anchored in UTC, so that a thousand monitors spread evenly
over the interval and a restart finds each in the slot it had before. A slot that passed while the check before it was still
running, or while the host was suspended, is counted as missed and never replayed.

An interval has `SLOTS` slots, and monitors of the same one are due in the same instant. To wake a processor that sleeps
costs more than a check does: with 10,000 monitors at a minute the few of each slot share that.
"""

from __future__ import annotations

from math import floor

# The golden ratio's fraction in 64 bits. Multiples of it, modulo one, are spread more evenly than any hash would: n points
# leave gaps of at most three lengths (Steinhaus's three-distance theorem; Knuth, TAOCP vol. 3, 6.4).
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
SLOTS = 3000
"""One every 20 ms of a minute: three of 10,000 monitors in each, which is no burst. Below 3 s one every millisecond."""
PATIENCE_S = 3600.0
"""What a target that pushes has at least, or an interval where that is shorter, once somebody listens again."""

# Slots are found again by division; this forgives the rounding of a floating-point clock, in slots.
_ROUNDING = 1e-6


def phase_ms(number: int, interval_ms: int) -> int:
    """How far into its interval the monitor's slot lies."""
    return (((number * _GOLDEN) & _MASK) * SLOTS >> 64) * interval_ms // SLOTS


def until_slot_ms(number: int, interval_ms: int, utc_ms: int) -> int:
    """How long from `utc_ms` to the monitor's next slot: 0 to one interval."""
    return (phase_ms(number, interval_ms) - utc_ms) % interval_ms


class Anchor:
    """Where UTC lies on trio's clock. Looked up once: if each monitor did, two of one slot would be due a millisecond apart."""

    __slots__ = ("_now", "_utc_ms")

    def __init__(self, now: float, utc_ms: int) -> None:
        self._now, self._utc_ms = now, utc_ms

    def next_slot(self, number: int, interval_ms: int, now: float) -> float:
        """When the monitor's next slot is, within one interval; the slot of this very millisecond counts."""
        passed_ms = floor((now - self._now) * 1000)
        return self._now + (passed_ms + until_slot_ms(number, interval_ms, self._utc_ms + passed_ms)) / 1000


def next_due(first: float, interval: float, due: float, now: float) -> tuple[float, int]:
    """The slot after the check that was due at `due` and ended at `now`, and how many slots were missed.

    When slots have passed meanwhile the latest of them is due at once: a check that took its whole timeout delays
    the next by nothing, instead of losing every second one. Slots are `first + n * interval`; `due` need not be one
    (a retry), and what comes next is on the grid again.
    """
    slot = floor((due - first) / interval + _ROUNDING) + 1
    latest = floor((now - first) / interval + _ROUNDING)
    if latest > slot:
        return first + latest * interval, latest - slot
    return first + slot * interval, 0


def retry_due(retry_interval: float, due: float, now: float) -> float:
    """When a failing check that was due at `due` and ended at `now` is tried again."""
    return max(due + retry_interval, now)


def push_expected(since: float, interval: float, now: float) -> tuple[float, bool]:
    """When the push after the one at `since` is expected by who begins to listen now, and whether it may have come before.

    It may have found nobody. A target pushes once an interval or more often, so a whole interval from now is always fair; where
    intervals are long `PATIENCE_S` has to do. Else a backup that never comes would be forgiven for another day by each restart,
    though the server was away for ten seconds of it.
    """
    expected = since + interval
    came_before = expected <= now and interval > PATIENCE_S
    # Not later than a whole interval: `since` is the wall clock's, which may have been set back.
    return min(max(expected, now + min(interval, PATIENCE_S)), now + interval), came_before
