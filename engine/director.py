"""The director actor: adds, changes, pauses, resumes and deletes monitors while they run, one command after the other.

A command is one message with a place for its answer. Whoever sent it may be cancelled (a client that went away); the command
is carried out whole all the same. A change is stored first, then made: what was acknowledged survives a crash.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Set
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import outcome
import trio
from msgspec import to_builtins
from msgspec.json import encode
from msgspec.structs import replace

from peekaping.engine.actor import Runtime
from peekaping.engine.alerts.alerting import Alerting
from peekaping.engine.alerts.message import Event
from peekaping.engine.check import Services
from peekaping.engine.errors import Invalid, NoSuchMonitor, Stopped
from peekaping.engine.fields import changed_fields
from peekaping.engine.monitor import HEADING, Monitor
from peekaping.engine.ports import Store
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.push import PushMonitor
from peekaping.engine.records import Entry, Outcome, Snapshot, State, Status, monitor_number
from peekaping.engine.stats import Stats
from peekaping.engine.supervisor import FOR_EVER, Supervisor
from peekaping.engine.verdict import paused, resumed

T = TypeVar("T")
Command = tuple[Callable[[], Awaitable[Any]], trio.MemorySendChannel[outcome.Outcome[Any]]]

SERVER_OWNED = frozenset({"id", "status", "lastCheck", "createdAt", "updatedAt", "pushId"})
"""Fields that `GET` shows and an update passes over, so that what was read can be sent back."""


class Director:
    """All monitors of one engine. Reading is a plain call; changing goes through `run`."""

    def __init__(
        self,
        store: Store,
        services: Services,
        supervisor: Supervisor,
        stats: Stats,
        alerting: Alerting,
        nursery: trio.Nursery,
        runtimes: dict[int, Runtime],
        snapshots: Iterable[Snapshot],
        min_interval_ms: int,
    ) -> None:
        self._store = store
        self._services = services
        self._supervisor = supervisor
        self._stats = stats
        self._alerting = alerting
        self._nursery = nursery
        self._min_interval_ms = min_interval_ms
        self._send, self._receive = trio.open_memory_channel[Command](0)
        self._runtimes = runtimes
        self._by_push_id: dict[str, int] = {}
        self._workspaces: defaultdict[int, dict[int, Runtime]] = defaultdict(dict)
        for snapshot in snapshots:
            # Killed before the heartbeat that says so was stored:
            if snapshot.entry.paused and snapshot.state.status is not Status.PAUSED:
                snapshot = snapshot._replace(state=paused(snapshot.state))
            elif not snapshot.entry.paused and snapshot.state.status is Status.PAUSED:
                snapshot = snapshot._replace(state=resumed(snapshot.state))
            self._enrol(Runtime(snapshot, services, check_now=False))

    # Reading: from memory, at any time.

    def runtimes(self, workspace: int | None = None) -> Collection[Runtime]:
        """All monitors, or a workspace's, oldest first."""
        return (self._runtimes if workspace is None else self._workspaces[workspace]).values()

    def numbers(self, workspace: int) -> Set[int]:
        """The numbers of a workspace's monitors; the set changes with them."""
        return self._workspaces[workspace].keys()

    def runtime(self, id: str) -> Runtime:
        """One monitor by id; raises NoSuchMonitor."""
        number = monitor_number(id)
        if number is None or number not in self._runtimes:
            raise NoSuchMonitor(f"There is no monitor {id[:40]}")
        return self._runtimes[number]

    def runtime_of_push_id(self, push_id: str) -> Runtime:
        """One monitor by the secret part of its address; raises NoSuchMonitor."""
        number = self._by_push_id.get(push_id)
        if number is None:
            raise NoSuchMonitor("There is no monitor with this push id")
        return self._runtimes[number]

    # Changing: what the engine's callers use. Each raises what the command raises, and Stopped.

    async def add(self, data: Monitor | Mapping[str, Any], workspace: int) -> Snapshot:
        """Add a monitor and start it."""
        fields = to_builtins(data) if isinstance(data, Monitor) else data
        return await self.carry_out(partial(self._add, self._parse(fields, workspace), workspace))

    async def update(self, id: str, changes: Mapping[str, Any]) -> Snapshot:
        """Change the given fields; where they say what is there already nothing happens."""
        return await self.carry_out(partial(self._update, id, changes))

    async def set_paused(self, id: str, is_paused: bool) -> Snapshot:
        """Pause or resume; doing it twice is fine."""
        return await self.carry_out(partial(self._set_paused, id, is_paused))

    async def delete(self, id: str) -> None:
        """Stop a monitor and forget it."""
        return await self.carry_out(partial(self._delete, id))

    async def run(self) -> None:
        """Start the monitors there are, then carry out commands until cancelled."""
        for runtime in self._runtimes.values():
            self._start(runtime)
        async for work, reply in self._receive:
            with reply:  # whatever happens the caller is not left waiting
                answer: outcome.Outcome[Any]
                try:
                    answer = outcome.Value(await work())
                except Exception as error:
                    answer = outcome.Error(error)
                with suppress(trio.BrokenResourceError):  # the caller went away
                    reply.send_nowait(answer)

    def close(self) -> None:
        """Refuse further commands."""
        self._send.close()
        self._receive.close()

    async def carry_out(self, work: Callable[[], Awaitable[T]]) -> T:
        """Let a command be carried out, after those before it and before the next, also when whoever asked is cancelled."""
        reply_send, reply = trio.open_memory_channel[outcome.Outcome[T]](1)
        with reply:
            try:
                await self._send.send((work, reply_send))
                answer = await reply.receive()
            except (trio.ClosedResourceError, trio.BrokenResourceError, trio.EndOfChannel):
                raise Stopped("the engine is stopping") from None
        return answer.unwrap()

    # The commands. Only `run` calls them, one at a time.

    async def _add(self, monitor: Monitor, workspace: int) -> Snapshot:
        monitor = self._alerting.resolved(monitor, workspace)  # again: a channel may have been deleted meanwhile
        push_id = secrets.token_hex(16) if isinstance(monitor, PushMonitor) else None
        now_ms = self._services.utc_ms()
        tell = partial(self._alerting.of_change, Event.CREATED, at_ms=now_ms)
        entry = await self._store.add(monitor, now_ms=now_ms, push_id=push_id, workspace=workspace, tell=tell)
        self._alerting.wake_for(tell(entry))
        runtime = Runtime(Snapshot(entry, State(), None), self._services, check_now=True)
        self._enrol(runtime)
        self._stats.watch(entry.number)
        self._start(runtime)
        return runtime.snapshot

    async def _update(self, id: str, changes: Mapping[str, Any]) -> Snapshot:
        runtime = self.runtime(id)
        entry = runtime.entry
        kind = changes.get("type", entry.monitor.kind)
        if kind != entry.monitor.kind:
            message = f"Type cannot be changed from {entry.monitor.kind}; create another monitor"
            raise Invalid(HEADING, {"type": [message]})
        wanted = {name: value for name, value in changes.items() if name not in SERVER_OWNED}
        monitor = self._parse(changed_fields(entry.monitor, wanted), entry.workspace)
        if _in_force(monitor) == _in_force(entry.monitor):
            # Whoever sends what is there already, every minute perhaps, changed nothing: there is nothing to tell, to date
            # or to try out.
            return runtime.snapshot
        now = self._date(entry)
        changed = replace(entry, monitor=monitor, updated_ms=now)
        told = self._alerting.of_change(Event.UPDATED, changed, now)
        if _same_check(entry.monitor, monitor):
            # A check that runs goes on: else a script that renames it sooner than a timeout hides a target that hangs.
            await self._store.replace(changed, told)
            self._alerting.wake_for(told)
            runtime.entry = changed
            return runtime.snapshot
        try:
            if not _same_target(entry.monitor, monitor):
                await _stop(runtime)  # first: nothing more is seen of the target that it had
                changed = replace(changed, target_ms=max(now, runtime.newest_at + 1, entry.target_ms))
            await self._store.replace(changed, told)
            if runtime.is_checking:  # it goes on, since it may be about to find out that the target hangs
                runtime.check_now = True
            else:
                await _stop(runtime)  # here, as the target is watched for as long as the store takes
            entry = changed
            self._alerting.wake_for(told)
        finally:  # as it was, when that failed
            self._go_on(runtime, entry)
        return runtime.snapshot

    async def _set_paused(self, id: str, is_paused: bool) -> Snapshot:
        runtime = self.runtime(id)
        if runtime.entry.paused == is_paused:
            return runtime.snapshot
        changed = replace(runtime.entry, paused=is_paused, updated_ms=self._date(runtime.entry))
        await self._store.replace(changed)
        await _stop(runtime)
        runtime.hear_what_waits()
        runtime.entry = changed
        state = paused(runtime.state) if is_paused else resumed(runtime.state)
        runtime.announce(state, Outcome(state.status, "Paused" if is_paused else "Resumed"), is_check=False)
        self._go_on(runtime, changed)
        return runtime.snapshot

    async def _delete(self, id: str) -> None:
        runtime = self.runtime(id)
        number = runtime.entry.number
        told = self._alerting.of_change(Event.DELETED, runtime.entry, self._services.utc_ms())
        await self._store.remove(number, told)
        self._alerting.wake_for(told)
        await _stop(runtime)
        del self._runtimes[number]
        del self._workspaces[runtime.entry.workspace][number]
        if runtime.entry.push_id is not None:
            del self._by_push_id[runtime.entry.push_id]
        self._stats.forget(number)

    def _date(self, entry: Entry) -> int:
        """The time of a change, in milliseconds; later than of the one before, since it names what is told of it."""
        return max(self._services.utc_ms(), entry.updated_ms + 1)

    def _parse(self, fields: Mapping[str, Any], workspace: int) -> Monitor:
        rule = self._alerting.channels_rule(workspace)
        monitor = parse_monitor(fields, min_interval_ms=self._min_interval_ms, channels=rule)
        return self._alerting.resolved(monitor, workspace)

    def _enrol(self, runtime: Runtime) -> None:
        self._runtimes[runtime.entry.number] = runtime
        self._workspaces[runtime.entry.workspace][runtime.entry.number] = runtime
        if runtime.entry.push_id is not None:
            self._by_push_id[runtime.entry.push_id] = runtime.entry.number

    def _go_on(self, runtime: Runtime, entry: Entry) -> None:
        """Start the actor of a changed monitor, with a check at once: somebody waits to see whether the change is right."""
        before, runtime.entry = runtime.entry, entry
        if entry.target_ms != before.target_ms:
            runtime.certificate = None
        if entry.paused:
            runtime.expected = None
        elif runtime.expected is not None and entry.monitor.interval != before.monitor.interval:
            now, interval_s = trio.current_time(), entry.monitor.interval / 1000
            expected = runtime.expected - before.monitor.interval / 1000 + interval_s
            runtime.expected = expected if expected > now else now + interval_s  # the target cannot have known
        # One that goes on knows of the change, or nothing could be stored: then it keeps its slot, after a crash as well.
        if runtime.scope is None:
            runtime.check_now = True
            self._start(runtime)

    def _start(self, runtime: Runtime) -> None:
        if not runtime.entry.paused and runtime.scope is None:
            runtime.scope = trio.CancelScope()
            self._nursery.start_soon(self._keep, runtime, runtime.scope)

    async def _keep(self, runtime: Runtime, scope: trio.CancelScope) -> None:
        """The task of one actor. It alone clears `scope`; only `_stop` makes `stopped`."""
        with scope:
            await self._supervisor.keep(runtime.entry.id, runtime.run, FOR_EVER)
        runtime.scope = None
        if runtime.stopped is not None:
            runtime.stopped.set()


def _in_force(monitor: Monitor) -> bytes:
    """What a monitor's fields amount to. As bytes, because true and 1 are equal otherwise."""
    return encode({**to_builtins(monitor), **monitor.computed()})


def _same_check(old: Monitor, new: Monitor) -> bool:
    """Whether only fields differ that no check looks at."""
    return _in_force(replace(new, name=old.name, notifications=old.notifications)) == _in_force(old)


def _same_target(old: Monitor, new: Monitor) -> bool:
    """Whether only fields differ that every kind has (interval, retries), so that what was seen of the target still holds.

    All others count as another target: which of them choose the server and the answer is each kind's own affair (a host, a
    redirect limit, a header), and to forget what is still true costs only the date since when.
    """
    own = set(new.__struct_fields__).difference(Monitor.__struct_fields__)
    return all(getattr(old, name) == getattr(new, name) for name in own)


async def _stop(runtime: Runtime) -> None:
    """Stop a monitor's actor and wait until it is gone, so that two never run for one monitor."""
    if runtime.scope is not None:
        runtime.stopped = trio.Event()
        runtime.scope.cancel()
        await runtime.stopped.wait()
        runtime.stopped = None
