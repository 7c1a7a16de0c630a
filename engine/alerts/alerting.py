"""What is to be told, and to which channels: the writer asks it of each batch before it is stored, the director of each change.

It only looks at values and remembers which monitors are down. What it answers is stored in the transaction of what it tells.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import trio
from msgspec.structs import replace

from peekaping.engine.alerts.delivery import ChannelEntry, NewDelivery
from peekaping.engine.alerts.message import Event, Message, compose
from peekaping.engine.alerts.rules import certificate_threshold, matters, may_remind, reminder_number
from peekaping.engine.clock import DAY_MS
from peekaping.engine.fields import Rule
from peekaping.engine.monitor import MOST_CHANNELS, Monitor, Notifications
from peekaping.engine.probes.push import PushMonitor
from peekaping.engine.records import Entry, Heartbeat, Status, number_in

if TYPE_CHECKING:
    from peekaping.engine.actor import Runtime

CHUNK = 100
"""Messages made between two checkpoints, a few milliseconds: when much goes down at once, checks are in time all the same."""


class Plan(NamedTuple):
    """What a batch of heartbeats has to be told of, and which monitors are down from when on after it (None: not any more)."""

    deliveries: list[NewDelivery]
    down: dict[int, int | None]


class Alerting:
    """One engine's. `channels` and `runtimes`, by number, are looked at only; `wake` is told of channels that got something."""

    def __init__(
        self,
        channels: Mapping[int, ChannelEntry],
        runtimes: Mapping[int, Runtime],
        down_since: Mapping[int, int],
        wake: Callable[[Iterable[int]], None],
    ) -> None:
        self._channels = channels
        self._runtimes = runtimes
        self._down = dict(down_since)
        """The monitors that are down, and since when."""
        self.wake = wake

    # For the writer

    async def plan(self, heartbeats: Iterable[Heartbeat]) -> Plan:
        """What is to be told of a batch. It changes nothing: a batch that could not be stored is asked about again."""
        plan, done = Plan([], {}), 0
        hear_all = any(entry.channel.wants(Event.HEARTBEAT) for entry in self._channels.values())
        for beat in heartbeats:
            if not (beat.transition or hear_all):
                continue
            done += 1
            if done % CHUNK == 0:
                await trio.lowlevel.checkpoint()
            if beat.monitor not in self._runtimes:
                continue
            entry = self._runtimes[beat.monitor].entry
            if hear_all and _was_pushed(entry.monitor, beat):
                plan.deliveries.extend(self._about(Event.HEARTBEAT, entry, beat))
            if not beat.transition:
                continue
            since = plan.down.get(beat.monitor, self._down.get(beat.monitor))
            if beat.status is Status.DOWN:
                plan.down[beat.monitor] = beat.at
                plan.deliveries.extend(self._about(Event.DOWN, entry, beat))
            elif since is not None:  # else it is certain for the first time that a new monitor is up
                plan.down[beat.monitor] = None
                plan.deliveries.extend(self._about(Event.UP, entry, beat, since))
        return plan

    def stored(self, plan: Plan) -> None:
        """Go on from a plan that was stored."""
        for number, since in plan.down.items():
            if since is None:
                self._down.pop(number, None)
            else:
                self._down[number] = since
        self.wake_for(plan.deliveries)

    def wake_for(self, deliveries: Sequence[NewDelivery]) -> None:
        """These were stored: let them be sent."""
        if deliveries:
            self.wake({new.channel for new in deliveries})

    # For the director

    def of_change(self, event: Event, entry: Entry, at_ms: int) -> list[NewDelivery]:
        """What is to be told of a monitor that was created, updated or deleted: to all channels of its workspace that ask."""
        listening = [one for one in self._channels.values() if one.workspace == entry.workspace]
        key = f"{entry.id}:{event}:{at_ms}"
        return list(_addressed(listening, compose(event, key=key, at=at_ms, entry=entry), entry.number))

    def channels_rule(self, workspace: int) -> Rule:
        """The rule for `notifications`: they name channels of that workspace."""

        def rule(value: Notifications) -> str | None:
            if len(value.channels) > MOST_CHANNELS:
                return f"name more than {MOST_CHANNELS} channels"
            unknown = [name for name in value.channels if self._find(name, workspace) is None]
            return f"name channels that do not exist: {', '.join(unknown)[:200]}" if unknown else None

        return rule

    def resolved(self, monitor: Monitor, workspace: int) -> Monitor:
        """The monitor with its channels by their ids, each once, without those that are not there."""
        if not monitor.notifications.channels:
            return monitor
        found = (self._find(name, workspace) for name in monitor.notifications.channels)
        ids = tuple(dict.fromkeys(entry.id for entry in found if entry is not None))
        return replace(monitor, notifications=replace(monitor.notifications, channels=ids))

    def _find(self, name: str, workspace: int) -> ChannelEntry | None:
        number = number_in(name, "channel")
        for entry in self._channels.values():
            if entry.workspace == workspace and (entry.number == number or entry.settings.name == name):
                return entry
        return None

    # For the reminder

    def noticeable(self, now_ms: int) -> list[int]:
        """The monitors of which `notices` may know something: few of those that are up."""
        for number in [number for number in self._down if number not in self._runtimes]:  # removed meanwhile
            del self._down[number]
        days = (max(one.settings.certificate_days, default=-1) for one in self._channels.values())
        latest_ms = now_ms + (max(days, default=-1) + 1) * DAY_MS
        ending = [
            number
            for number, runtime in self._runtimes.items()
            if (seen := runtime.certificate) is not None and seen.certificate.not_after_ms < latest_ms
        ]
        return list(dict.fromkeys([*self._down, *ending]))

    def notices(self, monitor: int, now_ms: int, told: Container[str]) -> Iterator[tuple[str, NewDelivery | None]]:
        """What holds of a monitor at this instant without a heartbeat that says so, by its key: the latest reminder where it is
        down, the closest threshold of a certificate that ends. None for those that were told: to compose one takes a while."""
        runtime = self._runtimes.get(monitor)
        if runtime is not None and not runtime.entry.paused:
            yield from self._reminders(runtime, now_ms, told)
            yield from self._endings(runtime, now_ms, told)

    def _reminders(
        self, runtime: Runtime, now_ms: int, told: Container[str]
    ) -> Iterator[tuple[str, NewDelivery | None]]:
        entry, last = runtime.entry, runtime.last
        since = self._down.get(entry.number)
        if since is None or last is None or last.status is not Status.DOWN:
            return
        if now_ms > last.at + entry.monitor.hold_ms:
            return  # nobody has looked lately, as after a start: it may be up
        for channel in _hearing(Event.REMINDER, self._attached(entry)):
            every, quiet = channel.settings.reminder_every, channel.settings.quiet_hours
            count = reminder_number(since, every, now_ms)
            if every is None or count == 0:
                continue
            due_ms = since + count * every
            # When, not which: `reminderEvery` may have changed meanwhile, and the fifth have been told of at another time.
            key = f"{entry.id}:{Event.REMINDER}:{due_ms}:{channel.id}"
            if key in told:
                yield key, None
            elif may_remind(quiet, since, due_ms, now_ms):
                beat = _storable(last)
                message = compose(Event.REMINDER, key=key, at=now_ms, entry=entry, heartbeat=beat, down_since=since)
                yield key, NewDelivery(channel.number, entry.number, message)

    def _endings(self, runtime: Runtime, now_ms: int, told: Container[str]) -> Iterator[tuple[str, NewDelivery | None]]:
        if runtime.certificate is None:
            return
        entry, certificate = runtime.entry, runtime.certificate.certificate
        left = certificate.days_left(now_ms)
        for channel in _hearing(Event.CERTIFICATE, self._attached(entry)):
            days = certificate_threshold(left, channel.settings.certificate_days)
            if days is None:
                continue
            key = f"{entry.id}:{Event.CERTIFICATE}:{certificate.fingerprint[:16]}:{days}:{channel.id}"
            if key in told:
                yield key, None
            else:
                message = compose(Event.CERTIFICATE, key=key, at=now_ms, entry=entry, certificate=certificate)
                yield key, NewDelivery(channel.number, entry.number, message)

    # Whom

    def _about(
        self, event: Event, entry: Entry, beat: Heartbeat, down_since: int | None = None
    ) -> Iterator[NewDelivery]:
        channels = list(self._attached(entry))
        if not channels:
            return
        key = f"{entry.id}:{event}:{beat.at}"
        message = compose(event, key=key, at=beat.at, entry=entry, heartbeat=_storable(beat), down_since=down_since)
        yield from _addressed(channels, message, entry.number)

    def _attached(self, entry: Entry) -> Iterator[ChannelEntry]:
        """The channels that a monitor tells."""
        notifications = entry.monitor.notifications
        if notifications.enabled:
            for id in notifications.channels:
                channel = self._channels.get(number_in(id, "channel") or 0)
                if channel is not None:
                    yield channel


def _hearing(event: Event, channels: Iterable[ChannelEntry]) -> Iterator[ChannelEntry]:
    """Those of the channels that are told of such events."""
    for one in channels:
        if one.settings.enabled and one.channel.wants(event) and matters(event, one.settings.min_severity):
            yield one


def _addressed(channels: Iterable[ChannelEntry], message: Message, monitor: int) -> Iterator[NewDelivery]:
    """A message to those of the channels that are told of such. Each has a key of its own: two may lead to one receiver."""
    for one in _hearing(message.event, channels):
        yield NewDelivery(one.number, monitor, replace(message, key=f"{message.key}:{one.id}"))


def _was_pushed(monitor: Monitor, beat: Heartbeat) -> bool:
    return isinstance(monitor, PushMonitor) and beat.is_check and beat.reason in (None, "reported")


def _storable(beat: Heartbeat) -> Heartbeat:
    """The heartbeat without halves of surrogate pairs: targets may say them, JSON cannot."""
    try:
        beat.message.encode()
    except UnicodeEncodeError:
        return replace(beat, message=beat.message.encode(errors="replace").decode())
    return beat
