"""The hub actor: heartbeats from its channel to every subscriber, without ever waiting for one.

Each subscriber has a bounded channel of its own. One that reads too slowly loses heartbeats, is told how many (`Lagged`), and
is cut off when it has not caught up after `PATIENCE_S`: its iteration ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from types import TracebackType

import msgspec
import trio

from peekaping.engine.outlets import Outlets
from peekaping.engine.records import Heartbeat

BATCH_EVERY_S = 0.02
"""Heartbeats are handed on in batches: one wake-up for many. Nobody sees a fiftieth of a second."""
LARGEST_BATCH = 1000
SUBSCRIBER_CAPACITY = 2000
CAUGHT_UP = SUBSCRIBER_CAPACITY // 2
"""With fewer waiting a subscriber has caught up. Room for one more is no sign of it: then one that takes an item now and then
would lag for ever."""
PATIENCE_S = 30.0


class Lagged(msgspec.Struct, frozen=True):
    """Stands where heartbeats are missing because the subscriber was too slow."""

    dropped: int


class Subscription:
    """One subscriber's place at the hub: iterate over it; leaving the `with` block ends it."""

    def __init__(self, hub: Hub, everything: Set[int] | None) -> None:
        self._hub = hub
        self._send, self._receive = trio.open_memory_channel[Heartbeat | Lagged](SUBSCRIBER_CAPACITY)
        self._dropped = 0
        self._lagging_since: float | None = None
        self._everything = everything
        """The numbers of the monitors it may be about, as they are at any time; None: all there are."""
        self._monitors = everything

    def __enter__(self) -> Subscription:
        self._hub.join(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hub.leave(self)
        self._send.close()
        self._receive.close()

    def narrow(self, numbers: Iterable[int] | None) -> None:
        """From now on it is about these monitors, as far as it may be; None: about all that it may be about."""
        everything = self._everything
        if numbers is None:
            self._monitors = everything
        else:
            self._monitors = frozenset(numbers) if everything is None else everything & frozenset(numbers)

    def is_about(self, heartbeat: Heartbeat) -> bool:
        """Whether it is still wanted: what waited while the subscription was narrowed may not be."""
        return self._monitors is None or heartbeat.monitor in self._monitors

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Heartbeat | Lagged:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def deliver(self, batch: Iterable[Heartbeat], now: float) -> None:
        """Put a batch in as far as there is room. Called by the hub."""
        for heartbeat in batch:
            if self._monitors is not None and heartbeat.monitor not in self._monitors:
                continue
            try:
                if self._dropped:
                    self._send.send_nowait(Lagged(self._dropped))
                    self._dropped = 0
                self._send.send_nowait(heartbeat)
            except trio.WouldBlock:
                self._dropped += 1
                if self._lagging_since is None:
                    self._lagging_since = now
        if self._lagging_since is not None:
            if self._receive.statistics().current_buffer_used < CAUGHT_UP:
                self._lagging_since = None
            elif now - self._lagging_since > PATIENCE_S:
                self.end()

    def end(self) -> None:
        """Let the iteration end after what is already waiting."""
        self._hub.leave(self)
        self._send.close()


class Hub:
    """One engine's hub. `run` is the actor."""

    def __init__(self, outlets: Outlets) -> None:
        self._outlets = outlets
        self.subscriptions: set[Subscription] = set()

    def join(self, subscription: Subscription) -> None:
        """From now on it is given what comes in; if others listen already, also what is waiting."""
        self.subscriptions.add(subscription)
        self._outlets.hub_is_open = True

    def leave(self, subscription: Subscription) -> None:
        """It is given nothing more; leaving twice is fine."""
        self.subscriptions.discard(subscription)
        self._outlets.hub_is_open = bool(self.subscriptions)

    async def run(self) -> None:
        """Hand on what comes in, until cancelled."""
        outlet = self._outlets.hub
        while True:
            batch = [await outlet.receive(), *outlet.drain(LARGEST_BATCH)]
            now = trio.current_time()
            for subscription in tuple(self.subscriptions):
                subscription.deliver(batch, now)
            await trio.sleep(BATCH_EVERY_S)

    def close(self) -> None:
        """End every subscription: the engine stops."""
        for subscription in tuple(self.subscriptions):
            subscription.end()
