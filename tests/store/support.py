"""What the storage tests share: short ways to make records, and stores of both kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio

from peekaping.engine.accounting import DAY, MINUTE, Bucket
from peekaping.engine.certificate import Certificate
from peekaping.engine.monitor import Monitor
from peekaping.engine.ports import Store
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.records import Heartbeat, Status
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore

NOON = 1_800_000_000_000 // MINUTE * MINUTE
"""An instant at the start of a minute."""


def monitor(name: str = "Shop") -> Monitor:
    return HttpMonitor(name=name, url="http://127.0.0.1/")


def beat(number: int, at: int, status: Status = Status.UP, message: str = "OK", **fields: Any) -> Heartbeat:
    return Heartbeat(monitor=number, at=at, status=status, message=message, **fields)


def certificate(serial_number: str = "1f") -> Certificate:
    names = ("shop.example", "*.shop.example", "192.0.2.1")
    return Certificate("CN=Ünser \0 Shop", "CN=R11", names, NOON - DAY, NOON + DAY, serial_number * 32, serial_number)


def minute(number: int, start: int, **fields: Any) -> Bucket:
    return Bucket(monitor=number, start=start, **(fields or {"up": MINUTE, "checks": 1}))


async def add(store: Store, count: int = 1) -> list[int]:
    """Add monitors; gives back their numbers."""
    return [(await store.add(monitor(f"Shop {n}"), now_ms=NOON, push_id=None)).number for n in range(count)]


async def prune(store: Store, now_ms: int) -> int:
    """A whole round; gives back how many steps it took."""
    steps = 1
    while await store.prune(now_ms):
        steps += 1
    return steps


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """What is executed on the writing connection meanwhile, without the transactions' own statements."""
    seen: list[str] = []

    def note(statement: str) -> None:
        words = statement.split()
        if words[0] not in ("BEGIN", "COMMIT", "--"):  # "--" are SQLite's own, beneath a statement
            seen.append(" ".join(words[:4]))

    database._writer.conn.set_trace_callback(note)
    yield seen
    database._writer.conn.set_trace_callback(None)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    database = Database.open(path)
    try:
        yield SqliteStore(database)
    finally:
        with trio.move_on_after(5, shield=True):
            await database.close()
