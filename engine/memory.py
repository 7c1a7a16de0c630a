"""A store that keeps everything in memory: for programs that embed the engine without a file, and for tests."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import islice
from operator import attrgetter

import msgspec
import trio

from peekaping.engine.accounting import DAY, HOUR, MINUTE, SPANS, Bucket
from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.alerts.memory import MemoryAlerts
from peekaping.engine.certificate import SeenCertificate
from peekaping.engine.monitor import Monitor
from peekaping.engine.outages import Change, Outage, changes
from peekaping.engine.ports import (
    HEARTBEATS_KEPT_MS,
    HOURS_KEPT_MS,
    MINUTES_KEPT_MS,
    OUTAGES_KEPT_MS,
    Tail,
    Tell,
    nothing,
)
from peekaping.engine.records import Entry, Heartbeat, Snapshot, State, Status
from peekaping.engine.restore import restore, restore_certificate


class _History:
    """What is kept of one monitor, oldest first."""

    def __init__(self) -> None:
        self.heartbeats: list[Heartbeat] = []
        self.buckets: dict[int, dict[int, Bucket]] = {span: {} for span in SPANS}
        """By span, then by start."""
        self.certificate: SeenCertificate | None = None
        self.outages: dict[int, int | None] = {}
        """Start to end; None while it lasts."""

    @property
    def newest_minute(self) -> int | None:
        return next(reversed(self.buckets[MINUTE]), None)

    def before(self, at: int) -> int:
        """How many heartbeats are older than this instant."""
        return bisect_left(self.heartbeats, at, key=attrgetter("at"))

    def confirmed(self, count: int) -> Status | None:
        """What was confirmed after the `count` oldest heartbeats."""
        transition = self._newest(count, lambda heartbeat: heartbeat.transition)
        return None if transition is None else transition.status

    @property
    def newest_transition(self) -> Heartbeat | None:
        return self._newest(len(self.heartbeats), lambda heartbeat: heartbeat.transition)

    def state(self) -> State:
        return restore(self.confirmed(len(self.heartbeats)), reversed(self.heartbeats))

    def prune(self, now_ms: int) -> None:
        """Forget what is too old, except what to go on from: the newest minute, and of the old heartbeats
        the newest transition and the newest change by hand."""
        count = self.before(now_ms - HEARTBEATS_KEPT_MS)
        transition = self._newest(count, lambda heartbeat: heartbeat.transition)
        by_hand = self._newest(count, lambda heartbeat: not heartbeat.is_check)
        self.heartbeats[:count] = [old for old in self.heartbeats[:count] if old is transition or old is by_hand]
        newest = self.newest_minute or 0
        for span, cutoff in ((MINUTE, min(now_ms - MINUTES_KEPT_MS, newest)), (HOUR, now_ms - HOURS_KEPT_MS)):
            self.buckets[span] = {start: bucket for start, bucket in self.buckets[span].items() if start >= cutoff}
        cutoff = now_ms - OUTAGES_KEPT_MS
        self.outages = {start: end for start, end in self.outages.items() if end is None or end >= cutoff}

    def follow(self, change: Change) -> None:
        """Take over what a batch says of an outage."""
        start = change.start
        if start is None:
            assert change.end is not None
            start = max((earlier for earlier in self.outages if earlier < change.end), default=None)
            if start is None:
                return
        self.outages[start] = self.outages.get(start) or change.end

    def _newest(self, count: int, condition: Callable[[Heartbeat], bool]) -> Heartbeat | None:
        """The newest of the `count` oldest heartbeats with that condition."""
        return next(filter(condition, islice(reversed(self.heartbeats), len(self.heartbeats) - count, None)), None)


class MemoryStore(MemoryAlerts):
    """The `Store` of `ports.py` without a file. What a call gives back shares nothing with what is kept."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        super().__init__(self._entries)
        self._histories: dict[int, _History] = {}
        self._last_number = 0

    async def load(self) -> list[Snapshot]:
        await trio.lowlevel.checkpoint()
        snapshots = []
        for number, entry in self._entries.items():
            history = self._histories[number]
            last = next((heartbeat for heartbeat in reversed(history.heartbeats) if heartbeat.is_check), None)
            seen = restore_certificate(entry, history.certificate)
            newest_at = history.heartbeats[-1].at if history.heartbeats else 0
            snapshots.append(Snapshot(entry, history.state(), last, seen, newest_at))
        return snapshots

    async def down_since(self, numbers: Sequence[int]) -> dict[int, int]:
        await trio.lowlevel.checkpoint()
        found = {number: self._histories[number].newest_transition for number in numbers if number in self._histories}
        return {number: beat.at for number, beat in found.items() if beat is not None}

    async def tails(self, numbers: Sequence[int]) -> list[Tail]:
        await trio.lowlevel.checkpoint()
        return [self._tail(number) for number in numbers]

    def _tail(self, number: int) -> Tail:
        history = self._histories.get(number, _History())
        newest = history.newest_minute
        watermark = None if newest is None else newest + MINUTE
        first = 0 if watermark is None else max(0, history.before(watermark) - 1)
        heartbeats = history.heartbeats[first:]
        return Tail(number, watermark, history.confirmed(first), heartbeats)

    async def add(
        self, monitor: Monitor, *, now_ms: int, push_id: str | None, workspace: int = 1, tell: Tell = nothing
    ) -> Entry:
        await trio.lowlevel.checkpoint()
        number = self._last_number = self._last_number + 1
        entry = Entry(number, monitor, now_ms, now_ms, push_id=push_id, workspace=workspace)
        self._entries[number] = entry
        self._histories[number] = _History()
        self._enqueue(tell(entry))
        return entry

    async def replace(self, entry: Entry, deliveries: Sequence[NewDelivery] = ()) -> None:
        await trio.lowlevel.checkpoint()
        if entry.number in self._entries:
            self._entries[entry.number] = entry
        self._enqueue(deliveries)

    async def remove(self, number: int, deliveries: Sequence[NewDelivery] = ()) -> None:
        await trio.lowlevel.checkpoint()
        self._remove_monitor(number)
        self._enqueue(deliveries)
        self._entries.pop(number, None)
        self._histories.pop(number, None)

    async def append(self, heartbeats: Sequence[Heartbeat], deliveries: Sequence[NewDelivery] = ()) -> None:
        await trio.lowlevel.checkpoint()
        self._enqueue(deliveries)
        for heartbeat in heartbeats:
            history = self._histories.get(heartbeat.monitor)
            if history is None:
                continue
            kept = history.heartbeats
            place = history.before(heartbeat.at)
            if place == len(kept) or kept[place].at != heartbeat.at:
                stored = msgspec.structs.replace(
                    heartbeat, phases=None, previous=Status.PENDING, hold_ms=0, certificate=None
                )
                kept.insert(place, stored)
            known = history.certificate
            if heartbeat.certificate is not None and (known is None or heartbeat.at > known.since_ms):
                history.certificate = SeenCertificate(heartbeat.certificate, heartbeat.at)
        for change in changes(heartbeats):
            if change.monitor in self._histories:
                self._histories[change.monitor].follow(change)

    async def roll_up(self, buckets: Sequence[Bucket]) -> None:
        await trio.lowlevel.checkpoint()
        for bucket in sorted(buckets, key=attrgetter("start")):
            history = self._histories.get(bucket.monitor)
            if history is None or bucket.start <= (-1 if history.newest_minute is None else history.newest_minute):
                continue
            for span in SPANS:
                start = bucket.start - bucket.start % span
                empty = Bucket(monitor=bucket.monitor, start=start)
                history.buckets[span].setdefault(start, empty).add(bucket)

    async def heartbeats(
        self, number: int, *, from_ms: int | None = None, to_ms: int | None = None, limit: int
    ) -> list[Heartbeat]:
        await trio.lowlevel.checkpoint()
        history = self._histories.get(number, _History())
        first = 0 if from_ms is None else history.before(from_ms)
        end = len(history.heartbeats) if to_ms is None else history.before(to_ms)
        return history.heartbeats[first:end][::-1][:limit]

    async def buckets(self, number: int, span: int, *, from_ms: int, to_ms: int) -> list[Bucket]:
        await trio.lowlevel.checkpoint()
        kept = self._histories.get(number, _History()).buckets[span]
        return [_copy(bucket) for start, bucket in kept.items() if from_ms <= start < to_ms]

    async def sums(self, numbers: Sequence[int], span: int, *, from_ms: int, to_ms: int) -> list[Bucket]:
        await trio.lowlevel.checkpoint()
        return [self._sum(number, span, from_ms, to_ms) for number in numbers]

    async def days(self, numbers: Sequence[int], *, from_ms: int, to_ms: int) -> list[Bucket]:
        await trio.lowlevel.checkpoint()
        return [
            self._sum(number, DAY, start, start + 1)
            for number in numbers
            for start in self._histories.get(number, _History()).buckets[DAY]
            if from_ms <= start < to_ms
        ]

    def _sum(self, number: int, span: int, from_ms: int, to_ms: int) -> Bucket:
        total = Bucket(monitor=number, start=from_ms)
        for start, bucket in self._histories.get(number, _History()).buckets[span].items():
            if from_ms <= start < to_ms:
                total.add_counts(bucket)
        return total

    async def outages(self, number: int, *, from_ms: int, to_ms: int, limit: int) -> tuple[int, list[Outage]]:
        await trio.lowlevel.checkpoint()
        kept = self._histories.get(number, _History()).outages
        found = [Outage(start, end) for start, end in kept.items() if start < to_ms and (end is None or end > from_ms)]
        return len(found), sorted(found, key=attrgetter("start"), reverse=True)[:limit]

    async def totals(self, span: int, *, from_ms: int, to_ms: int, workspace: int | None = None) -> Bucket:
        await trio.lowlevel.checkpoint()
        total = Bucket(monitor=0, start=from_ms)
        for number, entry in self._entries.items():
            if workspace is None or entry.workspace == workspace:
                total.add_counts(self._sum(number, span, from_ms, to_ms))
        return total

    async def prune(self, now_ms: int) -> bool:
        """Forget everything that is due in one step: a memory has no writer that waits meanwhile."""
        await trio.lowlevel.checkpoint()
        for history in self._histories.values():
            history.prune(now_ms)
        self._prune_deliveries(now_ms)
        return False


def _copy(bucket: Bucket) -> Bucket:
    return msgspec.structs.replace(bucket, sketch=dict(bucket.sketch))
