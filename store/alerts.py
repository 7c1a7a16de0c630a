"""The engine's `AlertStore` on the SQLite file: each method is one transaction of `channels.py` and `outbox.py`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database as Connection

from peekaping.engine.alerts.channel import Channel
from peekaping.engine.alerts.delivery import ChannelEntry, Delivery, NewDelivery, Tried
from peekaping.engine.alerts.ports import Due
from peekaping.engine.alerts.settings import ChannelSettings
from peekaping.engine.records import Entry
from peekaping.store import channels, outbox
from peekaping.store.database import Database


class SqliteAlerts:
    """That part of `SqliteStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def channels(self) -> list[ChannelEntry]:
        return await self._database.read(channels.load)

    async def add_channel(
        self, channel: Channel, settings: ChannelSettings, *, workspace: int, now_ms: int
    ) -> ChannelEntry:
        return await self._database.write(lambda db: channels.add(db, channel, settings, workspace, now_ms))

    async def replace_channel(self, entry: ChannelEntry) -> None:
        await self._database.write(lambda db: channels.replace(db, entry))

    async def remove_channel(self, number: int, monitors: Sequence[Entry]) -> None:
        await self._database.write(lambda db: channels.remove(db, number, monitors))

    async def down_since(self, numbers: Sequence[int]) -> dict[int, int]:
        return await self._database.read(lambda db: outbox.down_since(db, numbers))

    async def enqueue(self, deliveries: Sequence[NewDelivery]) -> None:
        batch = outbox.encode(deliveries)

        def enqueue(db: Connection) -> None:
            if batch is not None:
                outbox.enqueue(db, batch)

        await self._database.write(enqueue)

    async def channels_waiting(self) -> list[int]:
        return await self._database.read(outbox.waiting)

    async def due(self, channel: int, now_ms: int, *, one_each: bool, limit: int) -> Due:
        return await self._database.read(lambda db: outbox.due(db, channel, now_ms, one_each, limit))

    async def bundle(self, numbers: Sequence[int]) -> None:
        await self._database.write(lambda db: outbox.bundle(db, numbers))

    async def settle(self, tried: Tried) -> None:
        await self._database.write(lambda db: outbox.settle(db, tried))

    async def deliveries(self, channel: int, *, offset: int, limit: int) -> tuple[int, list[Delivery]]:
        return await self._database.read(lambda db: outbox.page(db, channel, offset, limit))

    async def redeliver(self, channel: int, number: int, now_ms: int) -> Delivery | None:
        return await self._database.write(lambda db: outbox.redeliver(db, channel, number, now_ms))
