"""The engine's `Store` on one SQLite file: each method is one transaction of the functions beside this file."""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database as Connection

from peekaping.engine.accounting import Bucket
from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.monitor import Monitor
from peekaping.engine.outages import Outage
from peekaping.engine.ports import Tail, Tell, nothing
from peekaping.engine.records import Entry, Heartbeat, Snapshot
from peekaping.store import certificates, monitors, outages, outbox, pruning, rollups
from peekaping.store import heartbeats as beats
from peekaping.store.alerts import SqliteAlerts
from peekaping.store.database import Database


class SqliteStore(SqliteAlerts):
    """The `Store` of `engine/ports.py`. The database stays open when the engine is done with it.

    Heartbeats and minutes of a monitor that is not there (it was removed while they were on their way) are dropped.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._unmoved = 0
        """Heartbeats appended since the last move of a slice; at a start `load` moves all."""
        self._slice = 0
        """The next slice to move."""
        self._pruned_to = 0
        """Where the round of pruning stands: a monitor's number."""

    async def load(self) -> list[Snapshot]:
        return await self._database.write(monitors.load)

    async def tails(self, numbers: Sequence[int]) -> list[Tail]:
        return await self._database.write(lambda db: rollups.tails(db, numbers))

    async def add(
        self, monitor: Monitor, *, now_ms: int, push_id: str | None, workspace: int = 1, tell: Tell = nothing
    ) -> Entry:
        def add(db: Connection) -> Entry:
            entry = monitors.add(db, monitor, now_ms, push_id, workspace)
            _tell(db, outbox.encode(tell(entry)))
            return entry

        return await self._database.write(add)

    async def replace(self, entry: Entry, deliveries: Sequence[NewDelivery] = ()) -> None:
        told = outbox.encode(deliveries)

        def replace(db: Connection) -> None:
            monitors.replace(db, entry)
            _tell(db, told)

        await self._database.write(replace)

    async def remove(self, number: int, deliveries: Sequence[NewDelivery] = ()) -> None:
        told = outbox.encode(deliveries)

        def remove(db: Connection) -> None:
            outbox.remove(db, number)
            _tell(db, told)  # as long as there is the monitor that it is about
            monitors.remove(db, number)

        await self._database.write_shown(remove)

    async def append(self, heartbeats: Sequence[Heartbeat], deliveries: Sequence[NewDelivery] = ()) -> None:
        # Encoded here and not in the thread: there it would fight this task's thread for the interpreter's lock.
        batch, shown = beats.encode(heartbeats), certificates.encode(heartbeats)
        changed, told = outages.encode(heartbeats), outbox.encode(deliveries)
        first = self._slice
        end = min(beats.SLICES, first + self._unmoved // beats.PER_MOVE)

        def append(db: Connection) -> None:
            if end > first:
                beats.move(db, first, end - 1)
            beats.append(db, batch)
            if shown is not None:
                certificates.store(db, shown)
            if changed is not None:
                outages.store(db, changed)
            _tell(db, told)

        await (self._database.write if changed is None else self._database.write_shown)(append)
        self._unmoved += len(heartbeats) - (end - first) * beats.PER_MOVE
        self._slice = end % beats.SLICES

    async def roll_up(self, buckets: Sequence[Bucket]) -> None:
        batch = rollups.encode(buckets)
        await self._database.write(lambda db: rollups.roll_up(db, batch))

    async def heartbeats(
        self, number: int, *, from_ms: int | None = None, to_ms: int | None = None, limit: int
    ) -> list[Heartbeat]:
        return await self._database.read(lambda db: beats.newest(db, number, from_ms, to_ms, limit))

    async def buckets(self, number: int, span: int, *, from_ms: int, to_ms: int) -> list[Bucket]:
        return await self._database.read(lambda db: rollups.within(db, number, span, from_ms, to_ms))

    async def sums(self, numbers: Sequence[int], span: int, *, from_ms: int, to_ms: int) -> list[Bucket]:
        return await self._database.read(lambda db: rollups.sums(db, numbers, span, from_ms, to_ms))

    async def days(self, numbers: Sequence[int], *, from_ms: int, to_ms: int) -> list[Bucket]:
        return await self._database.read(lambda db: rollups.days(db, numbers, from_ms, to_ms))

    async def outages(self, number: int, *, from_ms: int, to_ms: int, limit: int) -> tuple[int, list[Outage]]:
        return await self._database.read(lambda db: outages.of_one(db, number, from_ms, to_ms, limit))

    async def totals(self, span: int, *, from_ms: int, to_ms: int, workspace: int | None = None) -> Bucket:
        return await self._database.read(lambda db: rollups.totals(db, span, from_ms, to_ms, workspace))

    async def prune(self, now_ms: int) -> bool:
        stopped = await self._database.write(lambda db: pruning.step(db, now_ms, self._pruned_to))
        self._pruned_to = stopped or 0
        return stopped is not None


def _tell(db: Connection, told: str | None) -> None:
    if told is not None:
        outbox.enqueue(db, told)
