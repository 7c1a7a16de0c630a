"""How heartbeats become time: uptime is time-weighted, not a share of checks.

A heartbeat speaks for its target from its instant to the next heartbeat, but no longer than it holds (`Monitor.hold_ms`):
past that nobody was watching, and the time counts as nothing at all. The time goes to

- `up` or `down`: the confirmed status. A pending check (failing, retries left) changes nothing yet, so the time after it
  counts as what was confirmed before; the outage starts when it is certain.
- `unknown`: after a check that a fault of our own spoiled, and while a new monitor's first verdict is pending.
- `paused`: after it was paused, however long.

Uptime is up / (up + down). Plain values and functions: the stats actor keeps one `Tally` for each monitor and feeds it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from peekaping.engine.clock import DAY_MS, HOUR_MS, MINUTE_MS
from peekaping.engine.records import Heartbeat, Status
from peekaping.engine.sketch import Sketch, merge_into, step_of

SPANS = MINUTE, HOUR, DAY = MINUTE_MS, HOUR_MS, DAY_MS


def parts_of(start: int, end: int, span: int) -> list[tuple[int, int, int]]:
    """The buckets that make up the time from `start`, where one of `span` begins, to `end`: their span, from when, until when.

    Where buckets of the next longer span fit they are used, the last one also if it is not over: a day is at most 60 minutes
    and 24 hours instead of 1440 minutes.
    """
    longer = next((longer for longer in SPANS if longer > span), span)
    first_whole = min(start + -start % longer, end)
    return [part for part in ((span, start, first_whole), (longer, first_whole, end)) if part[1] < part[2]]


class Bucket(msgspec.Struct, kw_only=True, gc=False):
    """What happened to one monitor in one span of time (a minute, an hour or a day of UTC), in milliseconds."""

    monitor: int
    start: int
    up: int = 0
    down: int = 0
    unknown: int = 0
    paused: int = 0
    checks: int = 0
    failures: int = 0
    """Checks that found the target failing, confirmed or not."""
    responses: int = 0
    """Checks that measured a response time; the four fields that follow are over these."""
    response_sum: int = 0
    response_min: int | None = None
    response_max: int | None = None
    sketch: Sketch = msgspec.field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.up or self.down or self.unknown or self.paused or self.checks)

    @property
    def uptime(self) -> float | None:
        """Percent of the time known to be up or down that was up, with three decimals and never rounded up: 100 means not one
        millisecond down. None where nothing is known."""
        known = self.up + self.down
        return self.up * 100_000 // known / 1000 if known else None

    @property
    def average_response(self) -> float | None:
        return self.response_sum / self.responses if self.responses else None

    def add(self, other: Bucket) -> None:
        """Merge another bucket into this one; buckets of different monitors or spans may be added up too."""
        self.add_counts(other)
        low, high = other.response_min, other.response_max
        if low is not None and (self.response_min is None or low < self.response_min):
            self.response_min = low
        if high is not None and (self.response_max is None or high > self.response_max):
            self.response_max = high
        merge_into(self.sketch, other.sketch)

    def add_counts(self, other: Bucket) -> None:
        """The same without extremes and sketch."""
        self.up += other.up
        self.down += other.down
        self.unknown += other.unknown
        self.paused += other.paused
        self.checks += other.checks
        self.failures += other.failures
        self.responses += other.responses
        self.response_sum += other.response_sum


class Tally:
    """One monitor's open minute, and what it needs to go on: what the time since `since` counts as, and until when."""

    __slots__ = ("bucket", "confirmed", "counts_as", "hold_until", "since")

    def __init__(self, monitor: int, now: int, confirmed: Status | None = None) -> None:
        self.bucket = Bucket(monitor=monitor, start=now - now % MINUTE)
        self.confirmed = confirmed
        self.counts_as: Status | None = None
        """UP, DOWN, UNKNOWN or PAUSED; None while nobody watches."""
        self.since = now
        self.hold_until: int | None = None
        """None: for ever."""

    def take(self, heartbeat: Heartbeat, hold_ms: int) -> list[Bucket]:
        """Account for one heartbeat; gives back the minutes that it closed, oldest first.

        A heartbeat older than the open minute (the wall clock was set back) is counted at the minute's start.
        """
        at = max(heartbeat.at, self.since)
        closed = self.advance(at)
        self._follow(heartbeat.status, at, hold_ms)
        status = heartbeat.status
        if heartbeat.is_check:
            bucket = self.bucket
            bucket.checks += 1
            if status is Status.DOWN or status is Status.PENDING:
                bucket.failures += 1
            response = heartbeat.response_ms
            if response is not None:
                bucket.responses += 1
                bucket.response_sum += response
                if bucket.response_min is None or response < bucket.response_min:
                    bucket.response_min = response
                if bucket.response_max is None or response > bucket.response_max:
                    bucket.response_max = response
                step = step_of(response)
                bucket.sketch[step] = bucket.sketch.get(step, 0) + 1
        return closed

    def advance(self, now: int) -> list[Bucket]:
        """Let time pass to `now`; gives back the minutes that it closed and that hold anything, oldest first."""
        closed: list[Bucket] = []
        while (end := self.bucket.start + MINUTE) <= now:
            self._spend(end)
            bucket = self.bucket
            if not bucket.is_empty:
                closed.append(bucket)
                start = end
            else:  # nothing to count: skip the empty minutes in one step, be they a year
                start = now - now % MINUTE if self._is_silent(end) else end
            self.bucket = Bucket(monitor=bucket.monitor, start=start)
            self.since = max(self.since, start)
        self._spend(now)
        return closed

    def peek(self, now: int) -> Bucket:
        """What no closed minute holds yet, as it stands at `now`; changes nothing."""
        bucket = msgspec.structs.replace(self.bucket, sketch=dict(self.bucket.sketch))
        self._count(bucket, now)
        return bucket

    def add_to(self, total: Bucket, now: int) -> None:
        """Add the counts of what `peek` gives, neither extremes nor the sketch."""
        total.add_counts(self.bucket)
        self._count(total, now)

    @classmethod
    def rebuild(
        cls,
        monitor: int,
        watermark: int | None,
        confirmed: Status | None,
        tail: Sequence[Heartbeat],
        hold_ms: int,
        now: int,
    ) -> tuple[Tally, list[Bucket]]:
        """The tally as it stands at `now`, and the minutes closed on the way, from a store's `Tail`.

        A paused monitor counts as paused again from `now` on: that nobody ran the engine is no pause.
        """
        start = watermark if watermark is not None else tail[0].at if tail else now
        tally = cls(monitor, start, confirmed)
        closed: list[Bucket] = []
        for heartbeat in tail:
            if heartbeat.at < start:
                tally._follow(heartbeat.status, heartbeat.at, hold_ms)
            else:
                closed += tally.take(heartbeat, hold_ms)
        return tally, closed + tally.leap(now)

    def leap(self, now: int) -> list[Bucket]:
        """Let time pass to `now` in which nobody ran the statistics; a pause does not count it, and goes on from there."""
        is_paused = self.counts_as is Status.PAUSED
        if is_paused:
            self.hold_until = self.since
        closed = self.advance(max(now, self.since))
        if is_paused:
            self.hold_until = None
        return closed

    def _follow(self, status: Status, at: int, hold_ms: int) -> None:
        """From now on time counts as this heartbeat says."""
        if status is Status.UP or status is Status.DOWN:
            self.confirmed = status
            self.counts_as = status
        elif status is Status.PENDING:
            self.counts_as = self.confirmed or Status.UNKNOWN
        else:
            self.counts_as = status
        self.hold_until = None if status is Status.PAUSED else at + hold_ms

    def _is_silent(self, now: int) -> bool:
        return self.counts_as is None or (self.hold_until is not None and self.hold_until <= now)

    def _spend(self, until: int) -> None:
        """Count the time from `since` to `until`, both within the open minute."""
        self._count(self.bucket, until)
        self.since = max(self.since, until)

    def _count(self, bucket: Bucket, until: int) -> None:
        watched_until = until if self.hold_until is None else min(until, self.hold_until)
        span = watched_until - self.since
        if span > 0:
            counts_as = self.counts_as
            if counts_as is Status.UP:
                bucket.up += span
            elif counts_as is Status.DOWN:
                bucket.down += span
            elif counts_as is Status.PAUSED:
                bucket.paused += span
            elif counts_as is not None:
                bucket.unknown += span
