"""What the statistics of one monitor say of a period: totals, a series to draw, outages, and the means over them.

The means are over known time, as uptime is: with `n` outages MTTR is down / n and MTBF is up / n, so that
uptime = MTBF / (MTBF + MTTR). Time that was paused, unknown or not watched makes neither of them longer.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peekaping.engine.accounting import DAY, HOUR, MINUTE, Bucket
from peekaping.engine.outages import Outage


class Report(msgspec.Struct, frozen=True):
    """One monitor's period, from `total.start` to now."""

    now: int
    total: Bucket
    series: list[Bucket]
    """Oldest first and without gaps; all are as long, but the first begins with the period and the last is not over."""
    outage_count: int
    """Outages that were within the period, if only in part."""
    outages: list[Outage]
    """The newest of them, newest first, with their own beginnings and ends."""

    @property
    def mean_time_to_recovery(self) -> float | None:
        """Milliseconds; None without an outage."""
        return self.total.down / self.outage_count if self.outage_count else None

    @property
    def mean_time_between_failures(self) -> float | None:
        """Milliseconds; None without an outage."""
        return self.total.up / self.outage_count if self.outage_count else None


def span_for(period_ms: int) -> int:
    """The length of the buckets that a period is made of. Minutes are not kept for longer than that; hours are, but more than a
    month of them are too many to add up each time."""
    return MINUTE if period_ms <= 2 * DAY else HOUR if period_ms <= 31 * DAY else DAY


def total_of(number: int, start: int, buckets: Iterable[Bucket]) -> Bucket:
    total = Bucket(monitor=number, start=start)
    for bucket in buckets:
        total.add(bucket)
    return total


def series_of(number: int, start: int, step: int, now: int, buckets: Iterable[Bucket]) -> list[Bucket]:
    """The buckets added up in steps of so many milliseconds, counted from midnight UTC 1970."""
    first = start - start % step
    series = [Bucket(monitor=number, start=max(start, at)) for at in range(first, now + 1, step)]
    for bucket in buckets:  # a clock that was set back may have left one in the future
        series[min(max(0, (bucket.start - first) // step), len(series) - 1)].add(bucket)
    return series
