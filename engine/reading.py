"""What can be asked of an engine: its monitors, from memory; their history, from the store and the open minutes; and how it does.

What of that would be dear is kept until something changes, or for a moment: whoever asks often delays no check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Reversible
from functools import partial
from itertools import islice
from typing import NamedTuple, cast

import msgspec
import trio

from peekaping.engine.accounting import DAY, HOUR, Bucket, parts_of
from peekaping.engine.actor import Runtime
from peekaping.engine.check import Services
from peekaping.engine.director import Director
from peekaping.engine.hub import Hub
from peekaping.engine.kept import Kept
from peekaping.engine.ports import Store
from peekaping.engine.records import Heartbeat, Snapshot, Status, monitor_number
from peekaping.engine.report import Report, series_of, span_for, total_of
from peekaping.engine.stats import Stats
from peekaping.engine.supervisor import Crash, Supervisor
from peekaping.engine.writer import Writer

MOST_OUTAGES = 100
MOST_OVERVIEWS = 100
"""Kept for those who ask again at once, one for each workspace."""


class Overview(msgspec.Struct, frozen=True):
    """All monitors together. Buckets are sums over the monitors there are, the open minute included."""

    monitors: int
    by_status: dict[Status, int]
    unknown_reasons: dict[str, int]
    """Why monitors are unknown at present: reason code to number of monitors."""
    day: Bucket
    """The last 24 hours; `week` and `month` the last 7 and 30 days; `ever` since the first check."""
    week: Bucket
    month: Bucket
    ever: Bucket


class EngineStatistics(msgspec.Struct, frozen=True, rename="camel"):
    """How the engine itself is doing, since it started."""

    monitors: int
    by_status: dict[Status, int]
    unknown_reasons: dict[str, int]
    """Why monitors are unknown at present: reason code to number of monitors."""
    checks: int
    missed: int
    """Slots that passed while the check before was still running."""
    faults: int
    """Checks that a fault of ours spoiled."""
    late_p50_ms: int
    late_p99_ms: int
    late_max_ms: int
    """How late checks began; 1000 stands for a second and more."""
    commits: int
    backlog: int
    """Heartbeats that wait to be stored."""
    dropped: int
    """Heartbeats that were lost to storage because it failed for too long."""
    statistics_dropped: int
    """Heartbeats and minutes that were lost to the statistics for the same reason."""
    subscribers: int
    restarts: int
    crashes: list[Crash]
    """The latest, oldest first."""
    store_failing: str | None
    """Why nothing can be stored at present; None when it can."""


class Parts(NamedTuple):
    """What an engine is made of."""

    store: Store
    services: Services
    hub: Hub
    writer: Writer
    stats: Stats
    director: Director
    supervisor: Supervisor


class Reading:
    """The half of `Engine` that changes nothing."""

    def __init__(self, parts: Parts) -> None:
        self.store = parts.store
        self._services, self._hub, self._writer = parts.services, parts.hub, parts.writer
        self._stats, self._director, self._supervisor = parts.stats, parts.director, parts.supervisor
        self._totals: Kept[object, list[Bucket]] = Kept(MOST_OVERVIEWS)
        self._counted: dict[int | None, tuple[object, dict[Status, int]]] = {}
        self._kinds: dict[tuple[str, int | None], tuple[object, list[Runtime]]] = {}

    def get(self, id: str) -> Snapshot:
        """One monitor as it is now; raises NoSuchMonitor."""
        return self._director.runtime(id).snapshot

    def monitors(self, workspace: int | None = None) -> list[Snapshot]:
        """All monitors, or a workspace's, as they are now, oldest first."""
        return [runtime.snapshot for runtime in self._director.runtimes(workspace)]

    def page(
        self,
        first: int,
        limit: int,
        *,
        workspace: int | None = None,
        kind: str | None = None,
        status: Status | None = None,
    ) -> tuple[list[Snapshot], int]:
        """Some of those, from place `first` on, at most `limit`; and how many there are. All of that kind and status, if given.

        Whoever shows twenty of ten thousand pays for twenty.
        """
        found = self._director.runtimes(workspace)
        if kind is not None:
            found = self._of_kind(kind, workspace)
        if status is not None:
            found = [runtime for runtime in found if runtime.state.status is status]
        return [runtime.snapshot for runtime in islice(found, first, first + limit)], len(found)

    async def heartbeats(
        self, id: str, *, from_ms: int | None = None, to_ms: int | None = None, limit: int = 100
    ) -> list[Heartbeat]:
        """The newest stored heartbeats with `from_ms <= at < to_ms`, newest first; raises NoSuchMonitor."""
        number = self._director.runtime(id).entry.number
        return await self.store.heartbeats(number, from_ms=from_ms, to_ms=to_ms, limit=limit)

    async def totals_of(self, id: str, period_ms: int) -> Bucket:
        """The last `period_ms` of a monitor in one bucket, the open minute included; raises NoSuchMonitor.

        The period begins where its first bucket does: a minute for up to two days, an hour for up to 31, else a day.
        """
        number, now = self._director.runtime(id).entry.number, self._services.utc_ms()
        start, span = _beginning(period_ms, now)
        async with self._stats.moving.reading():
            return await self._total(number, start, span, now)

    async def report(self, id: str, period_ms: int, *, step_ms: int) -> Report:
        """The same period with a series of buckets to draw, `step_ms` each, and the outages; raises NoSuchMonitor.

        `step_ms` must be a multiple of the buckets that `totals_of` names. Of the outages the newest `MOST_OUTAGES` are shown.
        """
        number, now = self._director.runtime(id).entry.number, self._services.utc_ms()
        start, span = _beginning(period_ms, now)
        async with self._stats.moving.reading():
            total = await self._total(number, start, span, now)
            buckets = await self.store.buckets(number, span, from_ms=start, to_ms=now + 1)
            unstored = self._stats.unstored([number])
        count, outages = await self.store.outages(number, from_ms=start, to_ms=now + 1, limit=MOST_OUTAGES)
        for bucket in buckets:
            bucket.sketch = {}  # nobody draws percentiles, and to add up 1440 of these took longer than all the rest
        return Report(now, total, series_of(number, start, step_ms, now, buckets + unstored), count, outages)

    async def _total(self, number: int, start: int, span: int, now: int) -> Bucket:
        """A monitor's time in one bucket; to be called while no minutes move."""
        buckets: list[Bucket] = []
        for part, from_ms, to_ms in parts_of(start, now + 1, span):
            buckets += await self.store.buckets(number, part, from_ms=from_ms, to_ms=to_ms)
        return total_of(number, start, buckets + self._stats.unstored([number]))

    async def uptimes(self, ids: Iterable[str]) -> dict[str, list[Bucket]]:
        """The last 24 hours, 7 and 30 days of several monitors, as `totals_of` but without extremes and percentiles, in two
        statements each for all of them. Of a monitor that is not there (any more) nothing is known."""
        numbers = {number: id for id in ids if (number := monitor_number(id)) is not None}
        now = self._services.utc_ms()
        found: dict[str, list[Bucket]] = {id: [] for id in numbers.values()}
        async with self._stats.moving.reading():
            for period_ms in (DAY, 7 * DAY, 30 * DAY):
                start, span = _beginning(period_ms, now)
                totals = {number: Bucket(monitor=number, start=start) for number in numbers}
                for part, from_ms, to_ms in parts_of(start, now + 1, span):
                    for sums in await self.store.sums(list(numbers), part, from_ms=from_ms, to_ms=to_ms):
                        totals[sums.monitor].add_counts(sums)
                for number, total in totals.items():
                    found[numbers[number]].append(total)
            for bucket in self._stats.unstored(numbers):
                for total in found[numbers[bucket.monitor]]:
                    total.add_counts(bucket)
        return found

    async def days(self, ids: Iterable[str], count: int) -> dict[str, list[Bucket]]:
        """The last `count` days (of UTC) of several monitors, oldest first, today's as far as it has come, without extremes and
        percentiles. Of a monitor that is not there (any more) nothing is known."""
        numbers = {number: id for id in ids if (number := monitor_number(id)) is not None}
        now = self._services.utc_ms()
        first = now - now % DAY - (count - 1) * DAY
        found: dict[int, list[Bucket]] = {number: [] for number in numbers}
        async with self._stats.moving.reading():
            stored = await self.store.days(list(numbers), from_ms=first, to_ms=now + 1)
            for bucket in stored + self._stats.unstored(numbers):
                found[bucket.monitor].append(bucket)
        made: dict[str, list[Bucket]] = {}
        for number, buckets in found.items():
            await trio.lowlevel.checkpoint()
            made[numbers[number]] = series_of(number, first, DAY, now, buckets)
        return made

    async def overview(self, workspace: int | None = None) -> Overview:
        """All monitors together, or a workspace's. The buckets may be a moment old (`Kept`), the rest is as of now."""
        by_status = self._by_status(workspace)
        unknown_reasons = self._unknown_reasons(by_status, workspace)
        totals = await self._totals.get(
            (workspace, self._which_there_are(workspace)), partial(self._read_totals, workspace)
        )
        return Overview(sum(by_status.values()), by_status, unknown_reasons, *totals)

    async def _read_totals(self, workspace: int | None) -> list[Bucket]:
        now = self._services.utc_ms()
        numbers = None if workspace is None else self._director.numbers(workspace)
        totals = []
        async with self._stats.moving.reading():
            unstored = await self._stats.unstored_of_all(numbers)
            for span, period in ((HOUR, DAY), (HOUR, 7 * DAY), (DAY, 30 * DAY), (DAY, now)):
                start = (now - period) // span * span
                total = await self.store.totals(span, from_ms=start, to_ms=now + 1, workspace=workspace)
                total.add_counts(unstored)
                totals.append(total)
        return totals

    def statistics(self) -> EngineStatistics:
        """How the engine itself is doing."""
        counters, outlets = self._services.counters, self._services.outlets
        by_status = self._by_status()
        return EngineStatistics(
            monitors=sum(by_status.values()),
            by_status=by_status,
            unknown_reasons=self._unknown_reasons(by_status),
            checks=counters.checks,
            missed=counters.missed,
            faults=counters.faults,
            late_p50_ms=counters.late_percentile(0.5),
            late_p99_ms=counters.late_percentile(0.99),
            late_max_ms=counters.late_percentile(1),
            commits=self._writer.commits,
            backlog=self._writer.backlog,
            dropped=outlets.writer.dropped,
            statistics_dropped=outlets.stats.dropped + self._stats.lost_minutes,
            subscribers=len(self._hub.subscriptions),
            restarts=self._supervisor.restarts,
            crashes=list(self._supervisor.recent),
            store_failing=self._writer.failing or self._stats.failing,
        )

    def _of_kind(self, kind: str, workspace: int | None) -> list[Runtime]:
        """Looked up anew when monitors have come or gone: of what kind one is never changes."""
        there, kept = self._which_there_are(workspace), self._kinds.get((kind, workspace))
        if kept is None or kept[0] != there:
            found = [r for r in self._director.runtimes(workspace) if r.entry.monitor.kind == kind]
            kept = self._kinds[kind, workspace] = (there, found)
        return kept[1]

    def _by_status(self, workspace: int | None = None) -> dict[Status, int]:
        """Counted anew when a monitor came to show another status, or there are others."""
        heard = (self._services.outlets.changes, *self._which_there_are(workspace))
        kept = self._counted.get(workspace)
        if kept is None or kept[0] != heard:
            counts = Counter([runtime.state.status for runtime in self._director.runtimes(workspace)])
            kept = self._counted[workspace] = (heard, {status: counts[status] for status in Status})
        return dict(kept[1])

    def _unknown_reasons(self, by_status: dict[Status, int], workspace: int | None = None) -> dict[str, int]:
        if not by_status[Status.UNKNOWN]:
            return {}
        unknown = [r.last for r in self._director.runtimes(workspace) if r.state.status is Status.UNKNOWN]
        return Counter(last.reason or "unknown" for last in unknown if last is not None)

    def _which_there_are(self, workspace: int | None) -> tuple[int, int]:
        """Another pair whenever monitors have come or gone: numbers are never used again."""
        runtimes = self._director.runtimes(workspace)
        newest = next(reversed(cast(Reversible[Runtime], runtimes)), None)
        return len(runtimes), 0 if newest is None else newest.entry.number


def _beginning(period_ms: int, now: int) -> tuple[int, int]:
    """Where a period begins, and the span of the buckets that it is made of."""
    span = span_for(period_ms)
    return (now - period_ms) // span * span, span
