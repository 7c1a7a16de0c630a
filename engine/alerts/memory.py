"""Channels and the outbox in memory: that part of `engine/memory.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import trio
from msgspec.structs import replace

from peekaping.engine.alerts.channel import Channel
from peekaping.engine.alerts.delivery import DISABLED, ChannelEntry, Delivery, NewDelivery, State, Tried
from peekaping.engine.alerts.message import Event
from peekaping.engine.alerts.ports import DELIVERIES_KEPT_MS, KEPT_OTHERWISE_MS, Due
from peekaping.engine.alerts.settings import ChannelSettings
from peekaping.engine.errors import NameTaken
from peekaping.engine.records import Entry

WORTH_TELLING = (Event.CREATED, Event.UPDATED, Event.DELETED)
"""What is still told of a monitor that was removed."""


class MemoryAlerts:
    """The `AlertStore` of `ports.py` without a file, on the monitors of a `MemoryStore`."""

    def __init__(self, entries: dict[int, Entry]) -> None:
        self._entries = entries
        self._channels: dict[int, ChannelEntry] = {}
        self._deliveries: dict[int, Delivery] = {}
        self._keys: set[tuple[int, str]] = set()
        self._last_channel = 0
        self._last_delivery = 0

    async def channels(self) -> list[ChannelEntry]:
        await trio.lowlevel.checkpoint()
        return list(self._channels.values())

    async def add_channel(
        self, channel: Channel, settings: ChannelSettings, *, workspace: int, now_ms: int
    ) -> ChannelEntry:
        await trio.lowlevel.checkpoint()
        entry = ChannelEntry(self._last_channel + 1, workspace, settings, channel, now_ms, now_ms)
        self._check_name(entry)
        self._last_channel = entry.number
        self._channels[entry.number] = entry
        return entry

    async def replace_channel(self, entry: ChannelEntry) -> None:
        await trio.lowlevel.checkpoint()
        self._check_name(entry)
        self._channels[entry.number] = entry
        if not entry.settings.enabled:
            self._give_up(self._waiting(entry.number), DISABLED, entry.updated_ms)

    def _check_name(self, entry: ChannelEntry) -> None:
        for other in self._channels.values():
            same_name = (other.workspace, other.settings.name) == (entry.workspace, entry.settings.name)
            if same_name and other.number != entry.number:
                raise NameTaken(f"Another channel has the name {entry.settings.name}")

    async def remove_channel(self, number: int, monitors: Sequence[Entry]) -> None:
        await trio.lowlevel.checkpoint()
        self._channels.pop(number, None)
        self._entries.update({entry.number: entry for entry in monitors})
        self._forget(one for one in self._deliveries.values() if one.channel == number)

    async def enqueue(self, deliveries: Sequence[NewDelivery]) -> None:
        await trio.lowlevel.checkpoint()
        self._enqueue(deliveries)

    def _enqueue(self, deliveries: Iterable[NewDelivery]) -> None:
        for new in deliveries:
            is_known = (new.channel, new.key) in self._keys
            channel = self._channels.get(new.channel)
            if is_known or channel is None or not channel.settings.enabled or new.monitor not in self._entries:
                continue
            self._keys.add((new.channel, new.key))
            number = self._last_delivery = self._last_delivery + 1
            at = new.message.at
            self._deliveries[number] = Delivery(number, new.channel, new.monitor, new.message, at, 0)

    async def channels_waiting(self) -> list[int]:
        await trio.lowlevel.checkpoint()
        return sorted({one.channel for one in self._deliveries.values() if one.state is State.WAITING})

    async def due(self, channel: int, now_ms: int, *, one_each: bool, limit: int) -> Due:
        await trio.lowlevel.checkpoint()
        firsts: dict[int, Delivery] = {}
        held: set[int] = set()
        found = []
        waiting = self._waiting(channel)
        for one in waiting:
            first = firsts.setdefault(one.monitor, one)
            if one is not first and (one_each or (one.due_ms, one.bundle) != (first.due_ms, first.bundle)):
                held.add(one.monitor)
            is_due = one.due_ms <= now_ms or (one.first_tried_ms is not None and one.first_tried_ms > now_ms)
            if is_due and one.monitor not in held:
                found.append(one)
        found.sort(key=lambda one: (one.due_ms, one.number if one_each else one.bundle or one.number, one.number))
        return Due(found[:limit], min((one.due_ms for one in waiting if one.due_ms > now_ms), default=None))

    def _waiting(self, channel: int) -> list[Delivery]:
        return [one for one in self._deliveries.values() if one.channel == channel and one.state is State.WAITING]

    async def bundle(self, numbers: Sequence[int]) -> None:
        await trio.lowlevel.checkpoint()
        for number in numbers:
            self._deliveries[number] = replace(self._deliveries[number], bundle=numbers[0])

    async def settle(self, tried: Tried) -> None:
        await trio.lowlevel.checkpoint()
        for number in tried.numbers:
            one = self._deliveries.get(number)
            # What was given up meanwhile, as its channel was disabled, does not wait again.
            if one is not None and (one.state is State.WAITING or tried.state is not State.WAITING):
                self._deliveries[number] = replace(
                    one,
                    tries=one.tries + 1,
                    first_tried_ms=min(tried.at_ms if one.first_tried_ms is None else one.first_tried_ms, tried.at_ms),
                    state=tried.state,
                    answer=tried.answer,
                    due_ms=tried.due_ms,
                    finished_ms=None if tried.state is State.WAITING else tried.at_ms,
                )
        first, since_ms = self._deliveries.get(tried.numbers[0]), tried.untried_since_ms
        if first is not None and since_ms is not None:
            monitors = {self._deliveries[number].monitor for number in tried.numbers if number in self._deliveries}
            behind = [one for one in self._waiting(first.channel) if one.monitor in monitors]
            untried = [one for one in behind if one.first_tried_ms is None and one.made_ms <= since_ms]
            self._give_up(untried, tried.answer, tried.at_ms)

    def _give_up(self, deliveries: Iterable[Delivery], why: str, now_ms: int) -> None:
        for one in deliveries:
            self._deliveries[one.number] = replace(one, state=State.FAILED, finished_ms=now_ms, answer=why)

    async def deliveries(self, channel: int, *, offset: int, limit: int) -> tuple[int, list[Delivery]]:
        await trio.lowlevel.checkpoint()
        found = [one for one in reversed(self._deliveries.values()) if one.channel == channel]
        return len(found), list(islice(found, offset, offset + limit))

    async def redeliver(self, channel: int, number: int, now_ms: int) -> Delivery | None:
        await trio.lowlevel.checkpoint()
        one = self._deliveries.get(number)
        if one is None or one.channel != channel:
            return None
        again = replace(
            one, made_ms=now_ms, due_ms=0, tries=0, first_tried_ms=None, bundle=None, state=State.WAITING,
            finished_ms=None,
        )  # fmt: skip
        self._deliveries[number] = again
        return again

    def _remove_monitor(self, monitor: int) -> None:
        self._forget(
            one
            for one in self._deliveries.values()
            if one.monitor == monitor and one.state is State.WAITING and one.event not in WORTH_TELLING
        )

    def _prune_deliveries(self, now_ms: int) -> None:
        self._forget(
            one
            for one in self._deliveries.values()
            if one.finished_ms is not None
            and one.finished_ms + KEPT_OTHERWISE_MS.get(one.event, DELIVERIES_KEPT_MS) < now_ms
        )

    def _forget(self, deliveries: Iterable[Delivery]) -> None:
        for one in list(deliveries):
            del self._deliveries[one.number]
            self._keys.discard((one.channel, one.key))
