"""Whom to tell, when, and how often to try: functions over values, without a clock, a socket or a database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from peekaping.engine.alerts.message import SEVERITIES, Event, Severity
from peekaping.engine.alerts.settings import QuietHours
from peekaping.engine.clock import DAY_MS, HOUR_MS

FIRST_WAIT_MS = 1000
LONGEST_WAIT_MS = HOUR_MS
TRIED_FOR_MS = DAY_MS
TRIED_LATE_FOR_MS = HOUR_MS
"""For what is first tried late, as after a server that was off: one failing try, before the network is up, must not end it."""
JITTER = 0.25

_ORDER = list(Severity)


def matters(event: Event, least: Severity) -> bool:
    """Whether a channel that wants what matters at least so much is told of this event.

    A recovery passes wherever the failure before it did: who was called must hear that it is over.
    """
    severity = SEVERITIES.get(Event.DOWN if event is Event.UP else event, Severity.INFO)
    return _ORDER.index(severity) <= _ORDER.index(least)


def tried_for(age_ms: int) -> int:
    """For how long, in ms, a message is tried that fails for the first time since the server's start, `age_ms` after it was made:
    for the rest of its day, and an hour at least.

    Its day begins when it was made, not with its first try: behind a dead service the next message gets its first when the one
    before it is given up, so each would wait a day longer than the last, and what waits would grow without end.
    """
    return max(TRIED_FOR_MS - max(age_ms, 0), TRIED_LATE_FOR_MS)


def next_wait(left_ms: int, tries: int, after_s: float | None, chance: float) -> int | None:
    """How long to wait, in ms, after so many tries, where `left_ms` are left for more; None: it is given up.

    Waits double from a second to an hour, with up to a quarter more (`chance`, from 0 to 1), so that what failed together does
    not come back together. A service that says how long it wants to be left alone (`after_s`) is.
    """
    if left_ms < FIRST_WAIT_MS:
        return None
    wait = min(FIRST_WAIT_MS << min(tries - 1, 20), LONGEST_WAIT_MS) * (1 + JITTER * chance)
    return min(round(max(wait, (after_s or 0) * 1000)), left_ms)


@lru_cache(maxsize=1024)  # all 600 that there are: `zoneinfo` keeps eight, and reads the others from disk each time
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def quiet_until(hours: QuietHours | None, now_ms: int) -> int | None:
    """When the quiet hours end that this instant is in; None: it is in none."""
    if hours is None:
        return None
    zone = _zone(hours.timezone)
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    clock = now.time()
    spans_midnight = hours.start > hours.end
    is_quiet = (clock >= hours.start or clock < hours.end) if spans_midnight else hours.start <= clock < hours.end
    if not is_quiet:
        return None
    day = now.date() + timedelta(days=1 if spans_midnight and clock >= hours.start else 0)
    end = datetime.combine(day, hours.end, zone).astimezone(UTC)
    # In the hour that a clock repeats in autumn the end may be of its first pass, which is over.
    return max(round(end.timestamp() * 1000), now_ms + 1)


def reminder_number(down_since_ms: int, every_ms: int | None, now_ms: int) -> int:
    """Which reminder is the latest to be due: 0 is none yet. Those before it that were missed are not made up for."""
    return 0 if every_ms is None else max(0, now_ms - down_since_ms) // every_ms


def may_remind(hours: QuietHours | None, down_since_ms: int, due_ms: int, now_ms: int) -> bool:
    """Whether a reminder that was due at `due_ms` may be told now.

    In quiet hours none is. One that fell into them is told at their end: a reminder each 24 hours might always fall into them.
    But not where the failure did too: at their end it is told that it went down, which is enough.
    """
    if quiet_until(hours, now_ms) is not None:
        return False
    told_ms = quiet_until(hours, down_since_ms)
    return told_ms is None or due_ms >= told_ms


def certificate_threshold(days_left: int, thresholds: Iterable[int]) -> int | None:
    """The threshold in days that a certificate has come under: the closest one, so that a certificate first seen late is told of
    once."""
    return min((days for days in thresholds if days_left <= days), default=None)
