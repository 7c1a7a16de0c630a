"""Where heartbeats leave a monitor: three bounded channels, to the writer, the statistics and the hub.

A monitor never waits for any of them: handing out a heartbeat is a plain call. What happens when a channel is full is said
in one place, `Outlet`: the oldest heartbeats give way, are counted and shown; those that are a transition or bring a certificate,
which are not said again, only where all are such. The bounds differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import trio

from peekaping.engine.records import Heartbeat

# Ten seconds of 10,000 checks a second: what a stalled disk may take before anything is lost. A waiting heartbeat is about
# 200 bytes, so 20 MB at the worst.
WRITER_CAPACITY = 100_000
STATS_CAPACITY = 100_000
# The hub only hands on; when it cannot, live viewers lose heartbeats that are stored anyway.
HUB_CAPACITY = 10_000


class Outlet:
    """One bounded memory channel and its overflow policy."""

    def __init__(self, capacity: int) -> None:
        self._send, self._receive = trio.open_memory_channel[Heartbeat](capacity)
        self._capacity = capacity
        self.offered = 0
        """All heartbeats ever offered."""
        self.dropped = 0
        """Those that gave way."""
        self.bell = trio.Event()
        """Rung when the reader should not wait for more: a transition was offered, or somebody waits for the result."""

    def offer(self, heartbeat: Heartbeat) -> None:
        """Put a heartbeat in; never blocks."""
        self.offered += 1
        try:
            self._send.send_nowait(heartbeat)
        except trio.WouldBlock:
            self._squeeze_in(heartbeat)
        if heartbeat.transition:
            self.bell.set()

    async def receive(self) -> Heartbeat:
        """Wait for the next heartbeat."""
        return await self._receive.receive()

    def drain(self, most: int) -> Iterator[Heartbeat]:
        """Up to `most` of the heartbeats that wait, oldest first; each is taken out when it is asked for.

        Readers take heartbeats in batches: being woken for every one would cost them more than the work.
        """
        receive = self._receive.receive_nowait
        for _ in range(most):
            try:
                yield receive()
            except trio.WouldBlock:
                return

    @property
    def waiting(self) -> int:
        return self._receive.statistics().current_buffer_used

    def _squeeze_in(self, heartbeat: Heartbeat) -> None:
        """Drop a sixteenth of the capacity at once, so that each heartbeat offered while full costs little on average."""
        candidates = [*self.drain(self._capacity), heartbeat]
        plain = [
            index
            for index, candidate in enumerate(candidates)
            if not candidate.transition and candidate.certificate is None
        ]
        victims = set((plain or range(len(candidates)))[: max(1, self._capacity // 16)])
        self.dropped += len(victims)
        for index, candidate in enumerate(candidates):
            if index not in victims:
                self._send.send_nowait(candidate)


class Outlets:
    """The three channels of one engine."""

    def __init__(self) -> None:
        self.writer = Outlet(WRITER_CAPACITY)
        self.stats = Outlet(STATS_CAPACITY)
        self.hub = Outlet(HUB_CAPACITY)
        self.hub_is_open = False
        """Whether anybody listens; the hub is not woken for nobody."""
        self.changes = 0
        """How often a monitor came to show another status."""

    def offer(self, heartbeat: Heartbeat) -> None:
        """Hand out one heartbeat; never blocks."""
        self.changes += heartbeat.status is not heartbeat.previous
        self.writer.offer(heartbeat)
        self.stats.offer(heartbeat)
        if self.hub_is_open:
            self.hub.offer(heartbeat)
