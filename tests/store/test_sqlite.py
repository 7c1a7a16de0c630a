"""What only the store in SQLite has: a file, a cost in statements, and two places for heartbeats."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database as Connection

from peekaping.engine.accounting import DAY, HOUR, MINUTE
from peekaping.engine.ports import StoreFailed
from peekaping.engine.records import Status
from peekaping.store import heartbeats, pruning
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore
from tests.store.support import NOON, add, beat, certificate, minute, opened, prune, statements


def copy(source: Path | str, target: Path | str) -> None:
    """Take what the disk has at this moment."""
    Path(target).write_bytes(Path(source).read_bytes())


async def count(database: Database, table: str) -> int:
    return await database.read(lambda db: int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))


async def test_everything_is_there_after_a_reopening(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    async with opened(path) as store:
        (number,) = await add(store)
        await store.append([beat(number, NOON, transition=True), beat(number, NOON + 1, Status.PENDING)])
        await store.roll_up([minute(number, NOON - MINUTE)])
        before = await store.load(), await store.tails([number]), await store.totals(DAY, from_ms=0, to_ms=NOON)
    async with opened(path) as store:
        assert (
            await store.load(),
            await store.tails([number]),
            await store.totals(DAY, from_ms=0, to_ms=NOON),
        ) == before


async def test_numbers_are_not_given_again_after_a_reopening(tmp_path: Path) -> None:
    async with opened(tmp_path / "peekaping.db") as store:
        for number in (numbers := await add(store, 3)):
            await store.remove(number)
        await prune(store, NOON)
    async with opened(tmp_path / "peekaping.db") as store:
        assert not set(await add(store, 3)) & set(numbers)


async def test_a_process_that_is_killed_loses_nothing_committed(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    async with opened(path) as store:
        (number,) = await add(store)
        await store.append([beat(number, NOON)])
        killed = tmp_path / "killed.db"
        copy(path, killed)
        copy(f"{path}-wal", f"{killed}-wal")
        copy(f"{path}-key", f"{killed}-key")
    async with opened(killed) as store:
        assert await store.heartbeats(number, limit=9) == [beat(number, NOON)]


async def test_a_batch_is_one_statement_however_long(database: Database, sqlite: SqliteStore) -> None:
    one, two = await add(sqlite, 2)
    for length in (1, 1000):
        with statements(database) as seen:
            await sqlite.append([beat(number, NOON + n) for n in range(length) for number in (one, two)])
        assert seen == ["INSERT OR IGNORE INTO"]


async def test_the_certificates_of_a_batch_are_one_statement_more(database: Database, sqlite: SqliteStore) -> None:
    numbers = await add(sqlite, 50)
    with statements(database) as seen:
        await sqlite.append([beat(number, NOON, certificate=certificate()) for number in numbers])
    assert seen == ["INSERT OR IGNORE INTO", "INSERT INTO certificate (monitor,"]


async def test_a_roll_up_is_the_same_few_statements_however_long(database: Database, sqlite: SqliteStore) -> None:
    numbers = await add(sqlite, 50)
    for start in (NOON, NOON + MINUTE):
        with statements(database) as seen:
            await sqlite.roll_up([minute(number, start) for number in numbers])
        summing = "INSERT INTO total (workspace,"
        adding = ["INSERT INTO hour AS", summing, "INSERT INTO day AS", summing, "INSERT INTO minute (monitor,"]
        assert seen == ["CREATE TEMP TABLE IF", "INSERT INTO fresh SELECT", *adding, "DELETE FROM fresh"]


async def test_looking_at_all_monitors_takes_few_statements(database: Database, sqlite: SqliteStore) -> None:
    numbers = await add(sqlite, 50)
    await sqlite.append([beat(number, NOON, Status.PENDING) for number in numbers])
    with statements(database) as seen:
        await sqlite.load()
    assert len(seen) == 6
    with statements(database) as seen:
        await sqlite.tails(numbers)
    assert len(seen) == 5


async def test_heartbeats_move_on_by_and_by(
    database: Database, sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "PER_MOVE", 10)
    numbers = await add(sqlite, 70)  # more than there are slices
    for n in range(30):
        await sqlite.append([beat(number, NOON + n) for number in numbers])
    waiting, moved = await count(database, "recent"), await count(database, "heartbeat")
    assert waiting + moved == 30 * 70
    assert waiting <= 10 * heartbeats.SLICES + 70
    for number in numbers:
        assert [found.at - NOON for found in await sqlite.heartbeats(number, limit=12)] == list(range(29, 17, -1))


async def test_a_heartbeat_stored_again_after_it_moved_is_one(database: Database, sqlite: SqliteStore) -> None:
    (number,) = await add(sqlite)
    batch = [beat(number, NOON + n) for n in range(3)]
    await sqlite.append(batch)
    await sqlite.load()
    await sqlite.append(batch)
    assert await sqlite.heartbeats(number, limit=9) == batch[::-1]
    await sqlite.load()
    assert (await count(database, "recent"), await count(database, "heartbeat")) == (0, 3)


async def test_no_heartbeat_spoils_its_batch(sqlite: SqliteStore) -> None:
    (number,) = await add(sqlite)
    odd = beat(number, NOON, message="a\0b \ud800", response_ms=10**15)
    await sqlite.append([odd, beat(number, NOON + 1)])
    plain, stored = await sqlite.heartbeats(number, limit=2)
    assert plain == beat(number, NOON + 1)
    assert (stored.message, stored.response_ms) == ("a\N{SYMBOL FOR NULL}b ?", heartbeats.LONGEST_RESPONSE_MS)


async def test_pruning_goes_in_small_steps(
    database: Database, sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "ROWS_PER_STEP", 10)
    monkeypatch.setattr(pruning, "MONITORS_PER_STEP", 2)
    numbers = await add(sqlite, 5)
    await sqlite.append([beat(number, NOON + n) for n in range(40) for number in numbers])
    await sqlite.roll_up([minute(number, NOON + n * MINUTE) for n in range(15) for number in numbers])
    await sqlite.remove(numbers[0])
    await sqlite.load()
    left = [await count(database, "heartbeat")]
    while await sqlite.prune(NOON + 365 * DAY):
        left.append(await count(database, "heartbeat"))
        assert left[-2] - left[-1] <= 10
    assert left[-1] == 0
    tables = ("minute", "hour", "day", "doomed")
    assert [await count(database, table) for table in tables] == [4, 0, 4, 0]


async def test_nothing_is_left_of_a_removed_monitor(database: Database, sqlite: SqliteStore) -> None:
    one, two = await add(sqlite, 2)
    await sqlite.append([beat(one, NOON, certificate=certificate()), beat(two, NOON)])
    await sqlite.load()
    await sqlite.append([beat(one, NOON + 1)])
    await sqlite.roll_up([minute(one, NOON)])
    await sqlite.remove(one)
    await prune(sqlite, NOON)
    # These were on their way when the monitor was removed.
    await sqlite.append([beat(one, NOON + 2, certificate=certificate())])
    await sqlite.roll_up([minute(one, NOON + MINUTE)])
    await sqlite.load()
    for table in ("heartbeat", "recent", "certificate", "minute", "hour", "day", "doomed"):
        assert await count(database, table) == (table == "heartbeat")


async def test_a_roll_up_that_fails_in_the_middle_writes_nothing(database: Database, sqlite: SqliteStore) -> None:
    (number,) = await add(sqlite)
    await sqlite.roll_up([minute(number, NOON)])

    def refuse(db: Connection) -> None:
        db.execute("CREATE TEMP TRIGGER refuse BEFORE INSERT ON minute BEGIN SELECT RAISE(ABORT, 'no'); END")

    await database.write(refuse)
    with pytest.raises(sqlite3.IntegrityError):  # a trigger's refusal counts as one
        await sqlite.roll_up([minute(number, NOON + MINUTE)])
    for span in (MINUTE, HOUR, DAY):
        assert sum(bucket.checks for bucket in await sqlite.buckets(number, span, from_ms=0, to_ms=NOON + HOUR)) == 1
    for span in (HOUR, DAY):
        assert (await sqlite.totals(span, from_ms=0, to_ms=NOON + HOUR)).checks == 1


async def test_a_full_disk_fails_and_the_next_try_succeeds(database: Database, sqlite: SqliteStore) -> None:
    (number,) = await add(sqlite)
    batch = [beat(number, NOON + n, message="x" * 500) for n in range(2000)]
    pages = await database.write(lambda db: int(db.execute("PRAGMA page_count").fetchone()[0]))
    await database.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreFailed, match="the disk is full; free some space") as failure:
        await sqlite.append(batch)
    assert isinstance(failure.value.__cause__, sqlite3.OperationalError)
    assert await sqlite.heartbeats(number, limit=9) == []
    await database.write(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
    await sqlite.append(batch)
    assert len(await sqlite.heartbeats(number, limit=5000)) == 2000
