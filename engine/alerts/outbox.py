"""The dispatcher: sends what waits in the outbox, each channel in a task of its own, so that none waits for another.

Nothing is remembered here that a crash could take, but for when a message that fails is given up: a delivery waits in the
store until what came of it is stored. One that was sent while the process died is sent again, with the same key. So every
message is sent at least once, and those of one monitor to one channel in their order: the next is not tried before the one
before it was sent or given up.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import trio
from msgspec.structs import replace

from peekaping.engine.alerts.channel import NotDelivered, deliver
from peekaping.engine.alerts.delivery import ChannelEntry, Delivery, State, Tried, channel_id
from peekaping.engine.alerts.message import Message, grouped
from peekaping.engine.alerts.ports import AlertStore
from peekaping.engine.alerts.rules import TRIED_FOR_MS, next_wait, quiet_until, tried_for
from peekaping.engine.alerts.web import Web
from peekaping.engine.ports import StoreFailed
from peekaping.engine.supervisor import FOR_EVER, Supervisor

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Tries of one channel that run side by side, where messages are not grouped: one that hangs does not hold up other monitors'."""
MOST_GROUPED = 100
GROUP_EVERY_S = 10.0
"""After a message the next one of that channel waits so long, and takes along what came up meanwhile. An outage of everything is
noticed within an interval, so a minute of it is 7 messages; the first goes out at once. Chat services take one a second."""
LOOK_AGAIN_S = 60.0
"""The wall clock may be set, so nobody sleeps for longer by it."""
SETTLE_WITHIN_S = 0.5
STORE_RETRY_S = 1.0


class _Lane:
    """One channel's task."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.bell = trio.Event()
        """Rung when there may be something new to do."""
        self.busy: set[int] = set()
        """The monitors of which a message is being sent."""
        self.rest_until = 0.0
        """By trio's clock."""
        self.last_tries: dict[int, float] = {}
        """When what fails is tried for the last time, by trio's clock, as the other may be set; known by the number, that of the
        first where several are one message. A restart takes it away, and what is known no more has an hour again."""


class Dispatcher:
    """One engine's. `run` is the actor; each channel's task is one too, and crashes alone."""

    def __init__(
        self,
        store: AlertStore,
        channels: Mapping[int, ChannelEntry],
        web: Web,
        supervisor: Supervisor,
        utc_ms: Callable[[], int],
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._channels = channels
        self._web = web
        self._supervisor = supervisor
        self._utc_ms = utc_ms
        self._random = rng or random.Random()
        self._lanes: dict[int, _Lane] = {}
        self._nursery: trio.Nursery | None = None

    def wake(self, channels: Iterable[int]) -> None:
        """Something was stored for these, or they were changed."""
        for number in channels:
            if number not in self._channels:
                continue  # removed while its message was being stored
            lane = self._lanes.get(number)
            if lane is None:
                lane = self._lanes[number] = _Lane()
                if self._nursery is not None:
                    self._nursery.start_soon(self._keep, number, lane)
            lane.bell.set()

    def forget(self, channel: int) -> None:
        """A channel was removed: nothing more is sent."""
        lane = self._lanes.pop(channel, None)
        if lane is not None:
            lane.scope.cancel()

    async def run(self) -> None:
        """Send what waits, and what comes, until cancelled."""
        self.wake(await self._store.channels_waiting())
        try:
            async with trio.open_nursery() as self._nursery:
                for number, lane in self._lanes.items():
                    self._nursery.start_soon(self._keep, number, lane)
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def _keep(self, number: int, lane: _Lane) -> None:
        if self._lanes.get(number) is not lane:
            return  # forgotten before it began
        with trio.CancelScope() as lane.scope:  # a new one each time: the dispatcher may run again after a crash
            await self._supervisor.keep(channel_id(number), partial(self._serve, number, lane), FOR_EVER)

    async def _serve(self, number: int, lane: _Lane) -> None:
        lane.busy.clear()
        async with trio.open_nursery() as tries:
            while True:
                await trio.lowlevel.checkpoint_if_cancelled()  # it may have been rung for, and removed since
                lane.bell = trio.Event()
                entry = self._channels[number]
                wait_s = self._pause_s(entry, lane)
                if wait_s <= 0:
                    try:
                        batches, next_ms = await self._batches(entry, lane)
                    except StoreFailed as error:
                        log.error("the outbox cannot be read, trying again: %s", error)
                        await trio.sleep(STORE_RETRY_S)
                        continue
                    for batch in batches:
                        lane.busy.update(one.monitor for one in batch)
                        tries.start_soon(self._try, entry, lane, batch)
                    if next_ms is None and not lane.busy:
                        lane.last_tries.clear()  # nothing waits: what is left is of deliveries that are gone
                    wait_s = LOOK_AGAIN_S if next_ms is None else (next_ms - self._utc_ms()) / 1000
                with trio.move_on_after(min(max(wait_s, 0), LOOK_AGAIN_S)):
                    await lane.bell.wait()

    def _pause_s(self, entry: ChannelEntry, lane: _Lane) -> float:
        """How long nothing may be sent to a channel."""
        if not entry.settings.enabled:
            return LOOK_AGAIN_S
        now_ms = self._utc_ms()
        quiet_end = quiet_until(entry.settings.quiet_hours, now_ms)
        if quiet_end is not None:
            return (quiet_end - now_ms) / 1000
        return lane.rest_until - trio.current_time()

    async def _batches(self, entry: ChannelEntry, lane: _Lane) -> tuple[list[list[Delivery]], int | None]:
        """What to send now, a message each, and when to look again."""
        number, now_ms, busy = entry.number, self._utc_ms(), set(lane.busy)
        if not entry.channel.groups:
            due, next_ms = await self._store.due(number, now_ms, one_each=True, limit=2 * AT_ONCE)
            # Of a monitor that was busy when the store was asked, it may have said what was sent since.
            free = [one for one in due if one.monitor not in busy]
            return [[one] for one in free[: AT_ONCE - len(lane.busy)]], next_ms
        if busy:
            return [], None  # the one that is being sent rings when it is done
        due, next_ms = await self._store.due(number, now_ms, one_each=False, limit=MOST_GROUPED)
        batch = [one for one in due if one.bundle == due[0].bundle]
        if batch and batch[0].bundle is None:  # also of one: it must not come again as a part of something else
            await self._store.bundle([one.number for one in batch])
            batch = [replace(one, bundle=batch[0].number) for one in batch]
        return [batch] if batch else [], next_ms

    async def _try(self, entry: ChannelEntry, lane: _Lane, batch: Sequence[Delivery]) -> None:
        try:
            async with entry.channel.slot(self._web):
                now = self._channels.get(entry.number)  # it may have changed while this waited
                if now is None or not now.settings.enabled:
                    return  # what waited for it is given up
                tried = await self._send(now, lane, batch)
            if entry.channel.groups:
                # Also after a failure: what comes up while a service is down is to be a few messages when it is back.
                retry_s = (tried.due_ms - tried.at_ms) / 1000 if tried.state is State.WAITING else GROUP_EVERY_S
                lane.rest_until = trio.current_time() + min(retry_s, GROUP_EVERY_S)
            await self._settle(tried)
            if tried.state is not State.WAITING:
                lane.last_tries.pop(batch[0].number, None)
        finally:
            lane.busy.difference_update(one.monitor for one in batch)
            lane.bell.set()

    async def _send(self, entry: ChannelEntry, lane: _Lane, batch: Sequence[Delivery]) -> Tried:
        numbers, first = tuple(one.number for one in batch), batch[0]
        try:
            answer = await deliver(entry.channel, _message(batch), self._web)
        except NotDelivered as error:
            now_ms, now_s = self._utc_ms(), trio.current_time()
            age_ms = now_ms - max(one.made_ms for one in batch)
            if first.tries == 0 or first.number not in lane.last_tries:
                lane.last_tries[first.number] = now_s + tried_for(age_ms) / 1000
            left_ms = round((lane.last_tries[first.number] - now_s) * 1000)
            wait_ms = next_wait(left_ms, first.tries + 1, error.after_s, self._random.random())
            if error.retry and wait_ms is not None:
                return Tried(numbers, now_ms, State.WAITING, error.text, now_ms + wait_ms)
            log.error("%s to %s is given up: %s", first.event, entry.id, error.text)
            untried_since_ms = now_ms - TRIED_FOR_MS if error.retry else None
            return Tried(numbers, now_ms, State.FAILED, error.text, untried_since_ms=untried_since_ms)
        return Tried(numbers, self._utc_ms(), State.SENT, answer)

    async def _settle(self, tried: Tried) -> None:
        """Store what came of it. Also when the engine stops: else it would be sent again at the next start."""
        while True:
            with trio.move_on_after(SETTLE_WITHIN_S, shield=True):
                try:
                    await self._store.settle(tried)
                    return
                except StoreFailed as error:
                    log.error("what came of a message cannot be stored, trying again: %s", error)
            await trio.sleep(STORE_RETRY_S)


def _message(batch: Sequence[Delivery]) -> Message:
    first = batch[0]
    if len(batch) == 1:
        return first.message
    return grouped([one.message for one in batch], key=f"{first.key}:{first.id}", at=first.message.at)
