"""The store by itself: `python -m bench.storing FOLDER MONITORS BATCHES` prints `Stored` as JSON.

Appending is timed, making the heartbeats is not. History is written by SQL: of what three months of checks at 60 s leave, the
rows that are looked at, a day row for each of 90 days and an hour row for each hour of the last eight days.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import trio

from bench.server import http_monitors, make_database, pause_all, size_of
from peekaping.engine.accounting import DAY, HOUR
from peekaping.engine.clock import utc_ms
from peekaping.engine.engine import Engine
from peekaping.engine.kept import LONGEST_S
from peekaping.engine.records import Heartbeat, Status
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore

BATCH = 2500
LOOKS = 20
FEW_LOOKS = 5

_HISTORY = """
    WITH RECURSIVE slot(start) AS (SELECT :first UNION ALL SELECT start + :span FROM slot WHERE start + :span <= :last)
    INSERT INTO {table} (
        monitor, start, up, down, unknown, paused, checks, failures,
        responses, response_sum, response_min, response_max, sketch
    ) SELECT
        number, start, :span, 0, 0, 0, :span / 60000, 0, :span / 60000, :span / 60000 * 20, 5, 180,
        '{{"20":' || (:span / 120000) || ',"25":' || (:span / 180000) || ',"31":' || (:span / 400000) || ',"44":1}}'
    FROM monitor CROSS JOIN slot
"""


class Stored(msgspec.Struct):
    """What was measured; lists are rounds."""

    heartbeats_per_s: list[float]
    bytes_per_heartbeat: float
    quarter_ms: list[float]
    overview_ms: list[float]


async def ingest(path: Path, monitors: int, batches: int) -> list[float]:
    """Append so many batches; heartbeats a second, for each tenth of them."""
    database = Database.open(path)
    store = SqliteStore(database)
    rates, spent, start = [], 0.0, utc_ms()
    for position in range(1, batches + 1):
        batch = []
        for count in range((position - 1) * BATCH, position * BATCH):
            turn, number = divmod(count, monitors)
            at = start + turn * 60_000 + number  # spread over a minute, as the schedule does
            batch.append(Heartbeat(number + 1, at, Status.UP, "OK", None, 5 + count % 200, 200))
        began = time.perf_counter()
        await store.append(batch)
        spent += time.perf_counter() - began
        if position % max(1, batches // 10) == 0:
            rates.append(BATCH * max(1, batches // 10) / spent)
            spent = 0.0
    await store.load()  # moves all to where it stays
    await database.close()
    return rates


async def look(path: Path) -> tuple[list[float], list[float]]:
    """How long single monitors' last 90 days and the overview take, in milliseconds; checks are paused."""
    database = Database.open(path)
    quarter, overview = [], []
    async with Engine.open(SqliteStore(database)) as engine:
        snapshots = engine.monitors()
        for snapshot in snapshots[:: len(snapshots) // LOOKS][:LOOKS]:
            began = time.perf_counter()
            total = await engine.totals_of(snapshot.entry.id, 90 * DAY)
            quarter.append((time.perf_counter() - began) * 1000)
            assert total.checks > 80 * DAY // 60_000, "three months are there"
        for _ in range(FEW_LOOKS):
            await trio.sleep(LONGEST_S)  # what was answered before is kept no longer
            began = time.perf_counter()
            await engine.overview()
            overview.append((time.perf_counter() - began) * 1000)
    await database.close()
    return quarter, overview


def write_history(path: Path) -> None:
    """Three months of days and eight days of hours for every monitor, all paused."""
    now = utc_ms()
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, span, first in (("day", DAY, now - 90 * DAY), ("hour", HOUR, now - 8 * DAY)):
            values = {"span": span, "first": first - first % span, "last": now}
            connection.execute(_HISTORY.format(table=table), values)
    pause_all(path)


def compact(path: Path) -> int:
    """The file's size once free pages are given back."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
    return size_of(path)


def main(folder: Path, monitors: int, batches: int) -> None:
    """Measure and print."""
    definitions = http_monitors(monitors, "http://127.0.0.1:9/", 60_000)
    path = make_database(folder / "ingest.db", definitions)
    before = compact(path)
    rates = trio.run(ingest, path, monitors, batches)
    bytes_each = (compact(path) - before) / (batches * BATCH)
    history = make_database(folder / "history.db", definitions)
    write_history(history)
    quarter, overview = trio.run(look, history)
    stored = Stored(rates, bytes_each, quarter, overview)
    print(msgspec.json.encode(stored).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
