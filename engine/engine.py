"""The engine: the actors and what connects them, and the calls of a program that embeds it.

    monitors ──Outlets──> writer ──> store
    (director)       ├──> stats ───> store     │
                     └──> hub ─────> subscribers └──> dispatcher ──> services

Shutdown goes from the top down: no more commands, monitors cancelled in mid-probe, then the rest of the heartbeats stored
under a deadline of its own.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Reversible
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import Any, cast

import msgspec
import trio

from peekaping.engine.accounting import DAY, HOUR, Bucket, parts_of
from peekaping.engine.actor import Counters, Runtime, Services
from peekaping.engine.alerts.alerting import Alerting
from peekaping.engine.alerts.directory import Channels
from peekaping.engine.alerts.outbox import Dispatcher
from peekaping.engine.alerts.reminder import Reminder
from peekaping.engine.alerts.web import Web
from peekaping.engine.director import Director
from peekaping.engine.errors import NoSuchMonitor, Overloaded
from peekaping.engine.hub import Hub, Subscription
from peekaping.engine.janitor import Janitor
from peekaping.engine.kept import Kept
from peekaping.engine.memory import MemoryStore
from peekaping.engine.monitor import Monitor
from peekaping.engine.net.egress import DEFAULT_DENY, EgressGuard
from peekaping.engine.net.network import HostNetwork, Network
from peekaping.engine.outlets import Outlets
from peekaping.engine.ports import Store, StoreFailed
from peekaping.engine.probes.push import Push
from peekaping.engine.records import Heartbeat, Snapshot, Status, monitor_number
from peekaping.engine.report import Report, series_of, span_for, total_of
from peekaping.engine.stats import Stats
from peekaping.engine.supervisor import CORE, MONITOR, Crash, Supervisor
from peekaping.engine.timekeeper import Timekeeper
from peekaping.engine.writer import Writer

log = logging.getLogger(__name__)

FLUSH_WITHIN_S = 1.0
"""What storing the last heartbeats may take at a stop; with the default commit rhythm it is a few milliseconds."""
PUSH_STORED_WITHIN_S = 10.0
MOST_OUTAGES = 100
MOST_OVERVIEWS = 100
"""Kept for those who ask again at once, one for each workspace."""


def utc_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def _warn_of_the_future(snapshots: Iterable[Snapshot], now: int) -> None:
    """Say so when this host's clock is behind what it was when the history was written, or was ahead then.

    Heartbeats get times after those before them, whatever the clock says, so statistics wait for it to catch up.
    """
    newest = max((snapshot.last.at for snapshot in snapshots if snapshot.last is not None), default=0)
    if newest > now + 60_000:
        log.error("the history reaches %d s into the future; is this host's clock right?", (newest - now) // 1000)


def _beginning(period_ms: int, now: int) -> tuple[int, int]:
    """Where a period begins, and the span of the buckets that it is made of."""
    span = span_for(period_ms)
    return (now - period_ms) // span * span, span


class Overview(msgspec.Struct, frozen=True):
    """All monitors together. Buckets are sums over the monitors there are, the open minute included."""

    monitors: int
    by_status: dict[Status, int]
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


class Engine:
    """Watches monitors. Made by `Engine.open`; ids are those of `Snapshot.entry.id`."""

    def __init__(self, store: Store, services: Services, hub: Hub, writer: Writer, stats: Stats, director: Director,
                 supervisor: Supervisor, channels: Channels) -> None:  # fmt: skip
        self.store = store
        self.channels = channels
        """The channels that monitors tell: to make them, change them, try them out."""
        self._services = services
        self._hub = hub
        self._writer = writer
        self._stats = stats
        self._director = director
        self._supervisor = supervisor
        self._totals: Kept[object, list[Bucket]] = Kept(MOST_OVERVIEWS)
        self._counted: dict[int | None, tuple[object, dict[Status, int]]] = {}
        self._kinds: dict[tuple[str, int | None], tuple[object, list[Runtime]]] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        store: Store | None = None,
        *,
        min_interval_ms: int = 1000,
        egress_deny: Iterable[str] = DEFAULT_DENY,
        network: Network | None = None,
        utc_ms: Callable[[], int] = utc_ms,
    ) -> AsyncGenerator[Engine, None]:
        """Run an engine for the length of the block, with the monitors its store holds.

        Args:
          store: where monitors and history live; by default in memory only. It stays open.
          min_interval_ms: the least interval that `add` and `update` accept.
          egress_deny: networks that no probe may connect to, and no notification.
          network: how probes reach the world, in place of this host's network and `egress_deny`. Notifications do not use it.
          utc_ms: the wall clock, in milliseconds since the epoch. Scheduling goes by trio's clock.

        Raises:
          StoreFailed: when the store cannot be read.
          Escalated: (in a group) out of the block, when a core actor keeps crashing.
        """
        store = MemoryStore() if store is None else store
        snapshots = await store.load()
        _warn_of_the_future(snapshots, utc_ms())
        supervisor, timekeeper, outlets = Supervisor(utc_ms), Timekeeper(), Outlets()
        services = Services(
            network if network is not None else HostNetwork(EgressGuard(egress_deny)),
            timekeeper,
            outlets,
            Counters(),
            utc_ms,
        )
        channels = {entry.number: entry for entry in await store.channels()}
        runtimes: dict[int, Runtime] = {}
        web = Web(egress_deny)
        dispatcher = Dispatcher(store, channels, web, supervisor, utc_ms)
        down = [snapshot.entry.number for snapshot in snapshots if snapshot.state.confirmed is Status.DOWN]
        alerting = Alerting(channels, runtimes, await store.down_since(down), dispatcher.wake)
        reminder = Reminder(store, alerting, utc_ms)
        hub, writer = Hub(outlets), Writer(store, outlets.writer, alerting)
        stats = Stats(store, outlets.stats, utc_ms, (snapshot.entry for snapshot in snapshots))
        janitor = Janitor(store, utc_ms)
        try:
            async with web, trio.open_nursery() as core:
                for name, actor in (
                    ("writer", writer.run), ("stats", stats.run), ("hub", hub.run),
                    ("janitor", janitor.run), ("timekeeper", timekeeper.run),
                ):  # fmt: skip
                    core.start_soon(supervisor.keep, name, actor, CORE)
                # Who cannot be told is no reason to stop watching.
                core.start_soon(supervisor.keep, "dispatcher", dispatcher.run, MONITOR)
                core.start_soon(supervisor.keep, "reminder", reminder.run, MONITOR)
                async with trio.open_nursery() as monitors:
                    director = Director(
                        store, services, supervisor, stats, alerting, monitors, runtimes, snapshots, min_interval_ms
                    )
                    desk = Channels(store, channels, runtimes, dispatcher, web, director.carry_out, utc_ms)
                    monitors.start_soon(supervisor.keep, "director", director.run, CORE)
                    try:
                        yield cls(store, services, hub, writer, stats, director, supervisor, desk)
                    finally:
                        monitors.cancel_scope.cancel()
                        director.close()
                core.cancel_scope.cancel()
        finally:
            hub.close()
            with trio.move_on_after(FLUSH_WITHIN_S, shield=True) as flush:
                await writer.finish()
            if flush.cancelled_caught:
                log.error("%d heartbeats could not be stored before the stop", writer.backlog)

    async def add(self, monitor: Monitor | Mapping[str, Any], workspace: int = 1) -> Snapshot:
        """Add a monitor, given as a record or as the API's fields (`type` among them); its first check is at once.

        Workspaces are for those who share an engine and must not see each other's monitors. A program of its own needs none.

        Raises:
          Invalid: with every wrong field.
        """
        return await self._director.add(monitor, workspace)

    async def update(self, id: str, changes: Mapping[str, Any]) -> Snapshot:
        """Change the given fields (the API's names); None takes a field back to its default. The next check is at once.

        Raises:
          NoSuchMonitor, Invalid.
        """
        return await self._director.update(id, changes)

    async def pause(self, id: str) -> Snapshot:
        """Stop checking; raises NoSuchMonitor."""
        return await self._director.set_paused(id, True)

    async def resume(self, id: str) -> Snapshot:
        """Check again, at once; raises NoSuchMonitor."""
        return await self._director.set_paused(id, False)

    async def delete(self, id: str) -> None:
        """Forget a monitor and, little by little, its history; raises NoSuchMonitor."""
        await self._director.delete(id)

    def by_push_id(self, push_id: str) -> Snapshot:
        """The monitor that a push is for; raises NoSuchMonitor, also while it is paused."""
        snapshot = self._director.runtime_of_push_id(push_id).snapshot
        if snapshot.entry.paused:
            raise NoSuchMonitor("The monitor of this push id is paused")
        return snapshot

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

    async def push(
        self, push_id: str, *, status: Status = Status.UP, message: str | None = None, response_ms: int | None = None
    ) -> None:
        """Take a push monitor's message. When this returns it is judged and durably stored.

        Raises:
          NoSuchMonitor: for an id that is nobody's, and while the monitor is paused.
          Overloaded: when too many pushes wait for this monitor.
          StoreFailed: when it could not be stored in time; it counts all the same.
        """
        runtime = self._director.runtime(self.by_push_id(push_id).entry.id)
        judged = trio.Event()
        try:
            runtime.pushes[0].send_nowait(Push(status, message, response_ms, judged))
        except trio.WouldBlock:
            raise Overloaded("too many pushes wait for this monitor") from None
        with trio.move_on_after(PUSH_STORED_WITHIN_S):
            await judged.wait()
            await self._writer.flush()
            return
        raise StoreFailed("the push was taken but is not stored yet")

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

    async def overview(self, workspace: int | None = None) -> Overview:
        """All monitors together, or a workspace's. The buckets may be a moment old (`Kept`), `by_status` is as of now."""
        by_status = self._by_status(workspace)
        totals = await self._totals.get(
            (workspace, self._which_there_are(workspace)), partial(self._read_totals, workspace)
        )
        return Overview(sum(by_status.values()), by_status, *totals)

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

    def subscribe(self, monitors: Iterable[str] | None = None, workspace: int | None = None) -> Subscription:
        """Live heartbeats of these monitors, by default of all: `with engine.subscribe() as live: async for item in live: ...`

        With a workspace, of its monitors alone, those included that are added to it later.

        Items are `Heartbeat`, or `Lagged` in place of what a slow reader missed. The iteration ends when the engine stops
        and when the reader was too slow for too long.
        """
        subscription = Subscription(self._hub, None if workspace is None else self._director.numbers(workspace))
        if monitors is not None:
            subscription.narrow(number for id in monitors if (number := monitor_number(id)) is not None)
        return subscription

    def statistics(self) -> EngineStatistics:
        """How the engine itself is doing."""
        counters, outlets = self._services.counters, self._services.outlets
        by_status = self._by_status()
        unknown: Counter[str] = Counter()
        if by_status[Status.UNKNOWN]:
            found, _ = self.page(0, by_status[Status.UNKNOWN], status=Status.UNKNOWN)
            unknown.update(snapshot.last.reason or "unknown" for snapshot in found if snapshot.last is not None)
        return EngineStatistics(
            monitors=sum(by_status.values()),
            by_status=by_status,
            unknown_reasons=dict(unknown),
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
        """Counted anew when anything was heard of any monitor, or there are others."""
        heard = (self._services.outlets.stats.offered, *self._which_there_are(workspace))
        kept = self._counted.get(workspace)
        if kept is None or kept[0] != heard:
            counts = Counter([runtime.state.status for runtime in self._director.runtimes(workspace)])
            kept = self._counted[workspace] = (heard, {status: counts[status] for status in Status})
        return dict(kept[1])

    def _which_there_are(self, workspace: int | None) -> tuple[int, int]:
        """Another pair whenever monitors have come or gone: numbers are never used again."""
        runtimes = self._director.runtimes(workspace)
        newest = next(reversed(cast(Reversible[Runtime], runtimes)), None)
        return len(runtimes), 0 if newest is None else newest.entry.number
