"""The engine: the actors and what connects them, and the calls of a program that embeds it; `reading.py` has those that only ask.
`docs/architecture.md` has the picture.

Shutdown goes from the top down: no more commands, monitors cancelled in mid-probe, then the rest of the heartbeats stored
under a deadline of its own.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from peekaping.engine.actor import Runtime
from peekaping.engine.alerts.alerting import Alerting
from peekaping.engine.alerts.directory import Channels
from peekaping.engine.alerts.outbox import Dispatcher
from peekaping.engine.alerts.reminder import Reminder
from peekaping.engine.alerts.web import Web
from peekaping.engine.check import Counters, Services
from peekaping.engine.clock import MINUTE_MS, slept_s, utc_ms
from peekaping.engine.director import Director
from peekaping.engine.errors import NoSuchMonitor, Overloaded
from peekaping.engine.hub import Hub, Subscription
from peekaping.engine.janitor import Janitor
from peekaping.engine.memory import MemoryStore
from peekaping.engine.monitor import Monitor
from peekaping.engine.net.egress import DEFAULT_DENY, EgressGuard
from peekaping.engine.net.network import HostNetwork, Network
from peekaping.engine.outlets import Outlets
from peekaping.engine.ports import Store, StoreFailed
from peekaping.engine.probes.push import Push
from peekaping.engine.reading import Parts, Reading
from peekaping.engine.records import Snapshot, Status, monitor_number
from peekaping.engine.stats import Stats
from peekaping.engine.supervisor import ESCALATES, FOR_EVER, Supervisor
from peekaping.engine.timekeeper import Timekeeper
from peekaping.engine.writer import Writer

log = logging.getLogger(__name__)

FLUSH_WITHIN_S = 1.0
"""What storing the last heartbeats may take at a stop; with the default commit rhythm it is a few milliseconds."""
PUSH_STORED_WITHIN_S = 10.0


def _warn_of_the_future(snapshots: Iterable[Snapshot], now: int) -> None:
    """Say so when this host's clock is behind what it was when the history was written, or was ahead then.

    Heartbeats get times after those before them, whatever the clock says, so statistics wait for it to catch up.
    """
    newest = max((snapshot.newest_at for snapshot in snapshots), default=0)
    if newest > now + MINUTE_MS:
        log.error("the history reaches %d s into the future; is this host's clock right?", (newest - now) // 1000)


class Engine(Reading):
    """Watches monitors. Made by `Engine.open`; ids are those of `Snapshot.entry.id`."""

    def __init__(self, parts: Parts, channels: Channels) -> None:
        super().__init__(parts)
        self.channels = channels
        """The channels that monitors tell: to make them, change them, try them out."""

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
        slept_s: Callable[[], float] = slept_s,
    ) -> AsyncGenerator[Engine, None]:
        """Run an engine for the length of the block, with the monitors its store holds.

        Args:
          store: where monitors and history live; by default in memory only. It stays open.
          min_interval_ms: the least interval that `add` and `update` accept.
          egress_deny: networks that no probe may connect to, and no notification.
          network: how probes reach the world, in place of this host's network and `egress_deny`. Notifications do not use it.
          utc_ms: the wall clock, in milliseconds since the epoch. Scheduling goes by trio's clock.
          slept_s: for how long trio's clock stood still so far because this host was suspended.

        Raises:
          StoreFailed: when the store cannot be read.
          Escalated: (in a group) out of the block, when a core actor keeps crashing.
        """
        store = MemoryStore() if store is None else store
        snapshots = await store.load()
        _warn_of_the_future(snapshots, utc_ms())
        supervisor, timekeeper, outlets = Supervisor(utc_ms), Timekeeper(slept_s), Outlets()
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
                    core.start_soon(supervisor.keep, name, actor, ESCALATES)
                # Who cannot be told is no reason to stop watching.
                core.start_soon(supervisor.keep, "dispatcher", dispatcher.run, FOR_EVER)
                core.start_soon(supervisor.keep, "reminder", reminder.run, FOR_EVER)
                async with trio.open_nursery() as monitors:
                    director = Director(
                        store, services, supervisor, stats, alerting, monitors, runtimes, snapshots, min_interval_ms
                    )
                    desk = Channels(store, channels, runtimes, dispatcher, web, director.carry_out, utc_ms)
                    monitors.start_soon(supervisor.keep, "director", director.run, ESCALATES)
                    try:
                        yield cls(Parts(store, services, hub, writer, stats, director, supervisor), desk)
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
        """Change the given fields (the API's names); None takes a field back to its default.

        The next check is at once, or when the one under way has ended, if its target stays. A change of the name and of whom it
        tells alone leaves the checks as they are; what is so already changes nothing.

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
