"""The engine's `Store` on one SQLite file: each method is one transaction of the functions beside this file."""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database as Connection

from peekaping.engine.accounting import Bucket
from peekaping.engine.monitor import Monitor
from peekaping.engine.ports import Tail
from peekaping.engine.records import Entry, Heartbeat, Snapshot
from peekaping.store import certificates, monitors, pruning, rollups
from peekaping.store import heartbeats as beats
from peekaping.store.database import Database


class SqliteStore:
    """The `Store` of `engine/ports.py`. The database stays open when the engine is done with it.

    Heartbeats and minutes of a monitor that is not there (it was removed while they were on their way) are dropped.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
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

    async def add(self, monitor: Monitor, *, now_ms: int, push_id: str | None) -> Entry:
        return await self._database.write(lambda db: monitors.add(db, monitor, now_ms, push_id))

    async def replace(self, entry: Entry) -> None:
        await self._database.write(lambda db: monitors.replace(db, entry))

    async def remove(self, number: int) -> None:
        await self._database.write(lambda db: monitors.remove(db, number))

    async def append(self, heartbeats: Sequence[Heartbeat]) -> None:
        # Encoded here and not in the thread: there it would fight this task's thread for the interpreter's lock.
        batch, shown = beats.encode(heartbeats), certificates.encode(heartbeats)
        first = self._slice
        end = min(beats.SLICES, first + self._unmoved // beats.PER_MOVE)

        def append(db: Connection) -> None:
            if end > first:
                beats.move(db, first, end - 1)
            beats.append(db, batch)
            if shown is not None:
                certificates.store(db, shown)

        await self._database.write(append)
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

    async def totals(self, span: int, *, from_ms: int, to_ms: int) -> Bucket:
        return await self._database.read(lambda db: rollups.totals(db, span, from_ms, to_ms))

    async def prune(self, now_ms: int) -> bool:
        stopped = await self._database.write(lambda db: pruning.step(db, now_ms, self._pruned_to))
        self._pruned_to = stopped or 0
        return stopped is not None
