"""The stats actor: heartbeats from its channel into minutes, closed minutes into the store's roll-ups.

In memory are each monitor's open minute (`accounting.Tally`) and the closed ones that are not stored yet. What a crash or a stop
takes away is rebuilt at the next start from the heartbeats after each monitor's newest stored minute; there is no second way to
continue.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Set
from itertools import islice
from math import ceil

import trio

from peekaping.engine.accounting import MINUTE, Bucket, Tally
from peekaping.engine.outlets import Outlet
from peekaping.engine.ports import Store, StoreFailed
from peekaping.engine.records import Entry, Heartbeat, Status
from peekaping.engine.rwlock import ReadersWriterLock

log = logging.getLogger(__name__)

BATCH_EVERY_S = 0.1
LARGEST_BATCH = 2000
CHUNK = 500
"""Monitors handled between two checkpoints at a start, and when all are added up: a few milliseconds."""
SPREAD_S = 20.0
"""The end of a minute is work for each monitor, half a second of it for 10,000. It is spread over so long, so that no check is
late by it; what is not stored yet is added from memory."""
SMALLEST_SHARE = 100
"""Monitors whose minute is closed, and minutes that are stored, every `BATCH_EVERY_S` at least."""
SETTLE_S = 0.5
"""How long after its end a minute is closed: what happened in it has arrived by then."""
MANY_UNSAVED = 10_000
"""Closed minutes, or two of each monitor where that is more: beyond it storing goes first. A heartbeat that comes after a long
time closes hundreds of minutes, when this host has slept or was off and checks are a day apart."""
RETRY_S = 1.0
LONGEST_NAP_MS = 300_000
"""The actor wakes every minute. When it has not for longer, this host slept or its clock was set, and nobody was watching."""
MOST_UNSAVED = 200_000
"""Minutes kept while the store fails, 20 minutes of 10,000 monitors. Then the oldest are lost, and counted."""


class Stats:
    """One engine's statistics. `run` is the actor; what it holds survives its crash."""

    def __init__(self, store: Store, outlet: Outlet, utc_ms: Callable[[], int], entries: Iterable[Entry]) -> None:
        self._store = store
        self._outlet = outlet
        self._utc_ms = utc_ms
        self._started = utc_ms()
        self._tallies: dict[int, Tally] = {}
        self._to_restore: dict[int, int] = {}  # number -> how long its heartbeats hold
        for entry in entries:
            self.watch(entry.number)
            self._to_restore[entry.number] = entry.monitor.hold_ms
        self._unsaved: deque[Bucket] = deque(maxlen=MOST_UNSAVED)
        self._awake_at = self._started
        self._to_close: deque[Tally] = deque()
        self._boundary = self._started - self._started % MINUTE
        """Where the minute began that `_to_close` is to be brought to."""
        self._closed = 0
        """How many minutes were ever put into `_unsaved`."""
        self.lost_minutes = 0
        self.moving = ReadersWriterLock()
        """Minutes move to the store under it: whoever adds up what is there and what is here reads under it, so that none is
        counted twice, or not at all."""
        self.failing: str | None = None
        """Why minutes cannot be stored at present; None when they can."""

    def watch(self, number: int) -> None:
        """Start to count for a new monitor."""
        self._tallies[number] = Tally(number, self._utc_ms())

    def forget(self, number: int) -> None:
        """Stop counting for a removed monitor; what of it is still in the channel is passed over."""
        self._tallies.pop(number, None)
        self._to_restore.pop(number, None)

    def unstored(self, numbers: Collection[int]) -> list[Bucket]:
        """What of these monitors is not in the store's roll-ups yet: the minutes that wait to be stored, and the open ones."""
        now, wanted = self._utc_ms(), frozenset(numbers)
        found = [bucket for bucket in self._unsaved if bucket.monitor in wanted]
        found += [tally.peek(now) for number in wanted if (tally := self._tallies.get(number)) is not None]
        return found

    async def unstored_of_all(self, numbers: Set[int] | None = None) -> Bucket:
        """The same of all monitors, or of these, added up: the counts, without extremes and sketch."""
        now, closed = self._utc_ms(), self._closed
        total = Bucket(monitor=0, start=now)
        left = set(self._tallies if numbers is None else numbers)
        for bucket in self._unsaved:
            if bucket.monitor in left:
                total.add_counts(bucket)
        while left:
            for _ in range(min(CHUNK, len(left))):
                tally = self._tallies.get(left.pop())
                if tally is not None:
                    tally.add_to(total, now)
            await trio.lowlevel.checkpoint()
            for bucket in islice(reversed(self._unsaved), self._closed - closed):
                if bucket.monitor in left:  # else it was counted before it was closed
                    total.add_counts(bucket)
            closed = self._closed
        return total

    async def run(self) -> None:
        """Count what comes in, until cancelled."""
        while self._to_restore:
            try:
                await self._restore(dict(islice(self._to_restore.items(), CHUNK)))
            except StoreFailed as error:
                self._fails(error)
                await trio.sleep(RETRY_S)
                continue
            while self._unsaved:  # all of it, before more is made
                if not await self._save(CHUNK):
                    await trio.sleep(RETRY_S)
            self.failing = None
        self._awake_at = self._utc_ms()
        while True:
            with trio.move_on_after(self._patience_s()):
                heartbeat = await self._outlet.receive()
                self._wake_up()
                self._take(heartbeat)
                await trio.sleep(BATCH_EVERY_S)
            self._wake_up()
            for heartbeat in self._outlet.drain(LARGEST_BATCH):
                self._take(heartbeat)
                if self._has_many_unsaved:
                    break
            share = max(SMALLEST_SHARE, ceil(len(self._tallies) * BATCH_EVERY_S / SPREAD_S))
            self._close_minutes(share)
            await self._save(share)
            while self._has_many_unsaved and await self._save(CHUNK):
                pass

    @property
    def _has_many_unsaved(self) -> bool:
        """Whether to store before more is closed. Not while that fails: then heartbeats go on to be counted."""
        many = min(max(MANY_UNSAVED, 2 * len(self._tallies)), MOST_UNSAVED // 2)
        return len(self._unsaved) > many and self.failing is None

    def _wake_up(self) -> None:
        """After a long sleep: a pause, which holds for ever, would count all of it, with a minute to store for each."""
        before, self._awake_at = self._awake_at, self._utc_ms()
        if self._awake_at - before > LONGEST_NAP_MS:
            for tally in self._tallies.values():
                if tally.counts_as is Status.PAUSED:
                    self._keep(tally.advance(max(before, tally.since)))
                    self._keep(tally.leap(self._awake_at))

    def _take(self, heartbeat: Heartbeat) -> None:
        tally = self._tallies.get(heartbeat.monitor)
        if tally is not None:
            self._keep(tally.take(heartbeat, heartbeat.hold_ms))

    def _patience_s(self) -> float:
        """How long to wait for a heartbeat before there is something to do without one."""
        if self.failing is not None:
            return RETRY_S
        if self._to_close or self._unsaved:
            return BATCH_EVERY_S
        return max(0.0, (self._boundary + MINUTE - self._utc_ms()) / 1000 + SETTLE_S)

    def _close_minutes(self, most: int) -> None:
        """Let a minute that has ended pass for some monitors, also for those that had no heartbeat in it."""
        if not self._to_close:
            now = self._utc_ms() - round(SETTLE_S * 1000)
            if now < self._boundary + MINUTE:
                return
            self._boundary = now - now % MINUTE
            self._to_close.extend(self._tallies.values())
        for _ in range(min(most, len(self._to_close))):
            tally = self._to_close.popleft()
            if tally.since < self._boundary:
                self._keep(tally.advance(self._boundary))
            if self._has_many_unsaved:
                break

    async def _restore(self, holds: dict[int, int]) -> None:
        """Rebuild the open minutes of some monitors, or of fewer when that closed many minutes. Heartbeats of this run come by
        the channel, not from the store."""
        for tail in await self._store.tails(list(holds)):
            if self._has_many_unsaved:
                break
            if self._to_restore.pop(tail.number, None) is None:
                continue  # removed meanwhile
            before = [heartbeat for heartbeat in tail.heartbeats if heartbeat.at < self._started]
            self._tallies[tail.number], closed = Tally.rebuild(
                tail.number, tail.watermark, tail.confirmed, before, holds[tail.number], self._started
            )
            self._keep(closed)

    def _keep(self, closed: list[Bucket]) -> None:
        if closed:
            self.lost_minutes += max(0, len(self._unsaved) + len(closed) - MOST_UNSAVED)
            self._unsaved += closed
            self._closed += len(closed)

    async def _save(self, most: int) -> bool:
        """Store some of the closed minutes, oldest first, in one transaction. Whether there may be more to store: of those that
        fail all stay."""
        if not self._unsaved:
            return False
        async with self.moving.writing():
            chunk = list(islice(self._unsaved, most))
            try:
                await self._store.roll_up(chunk)
            except StoreFailed as error:
                self._fails(error)
                return False
            self.failing = None
            for _ in chunk:
                self._unsaved.popleft()
        return True

    def _fails(self, error: StoreFailed) -> None:
        if self.failing is None:
            log.error("statistics cannot be stored, trying again: %s", error)
        self.failing = str(error)
