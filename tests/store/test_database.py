"""One file: who may open it, what it says when it cannot be opened, transactions, closing."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlite_utils
import trio

from peekaping.engine.ports import StoreFailed
from peekaping.store.database import NICE, Database
from peekaping.store.errors import CannotOpen

NOBODY = 65534


def put(name: str) -> Callable[[sqlite_utils.Database], object]:
    """A function for `Database.write`."""
    return lambda db: db.execute("INSERT INTO setting VALUES (?, x'00')", (name,))


async def names(database: Database) -> list[str]:
    return await database.read(lambda db: [name for (name,) in db.execute("SELECT name FROM setting ORDER BY name")])


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def refusal(path: Path) -> str:
    """Why a file cannot be opened, in one line without a traceback's words."""
    with pytest.raises(CannotOpen) as failure:
        Database.open(path)
    message = str(failure.value)
    assert "\n" not in message
    assert "; " in message, "what is wrong; what to do"
    return message


# Opening


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no" / "peekaping.db"
    assert refusal(path) == f"the folder {path.parent} does not exist; make it, or name another file"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} is a folder; name a file in it, such as {tmp_path / 'peekaping.db'}"


def test_a_python_with_an_old_sqlite_is_refused_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.37.2")
    said = refusal(tmp_path / "peekaping.db")
    assert "SQLite 3.37.2" in said
    assert "3.38 or newer" in said
    assert files(tmp_path) == set()


def test_what_is_not_sqlite_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("bread, milk, " * 100)
    assert refusal(path) == f"{path} cannot be used: it is not an SQLite database; name another file"
    assert path.read_text() == "bread, milk, " * 100


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite_utils.Database(path) as other:
        other.execute("CREATE TABLE bookmark (url TEXT)")
    before = path.read_bytes()
    assert refusal(path) == f"{path} is another program's database; name another file"
    assert path.read_bytes() == before


async def test_a_newer_versions_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    await Database.open(path).close()
    with sqlite_utils.Database(path) as newer:
        newer.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('peekaping', 'm999_teleport', '')"
        )
    before = path.read_bytes()
    assert refusal(path) == (
        f"{path} was written by a newer peekaping (it has m999_teleport); install that version, or name another file"
    )
    assert path.read_bytes() == before


async def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    await Database.open(path).close()
    path.write_bytes(path.read_bytes()[:100] + b"\x55" * 8000)
    assert refusal(path).startswith(f"{path} cannot be used: it is damaged; restore it from a backup")


@pytest.fixture
def folder_of_nobody() -> Iterator[Path]:
    """A folder outside the tests' own, which only their user may enter; within it the process is nobody in particular.

    The user that owns everything may write everywhere, so as that user it could not be tried out.
    """
    folder = Path(tempfile.mkdtemp(prefix="peekaping-"))
    folder.chmod(0o755)
    is_root = os.geteuid() == 0
    yield folder
    if is_root:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def allow(path: Path | str, mode: int) -> None:
    Path(path).chmod(mode)


def become_nobody() -> None:
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def test_a_folder_that_cannot_be_written_to_is_refused(folder_of_nobody: Path) -> None:
    path = folder_of_nobody / "peekaping.db"
    allow(folder_of_nobody, 0o555)
    become_nobody()
    assert refusal(path) == (
        f"{path}-lock cannot be written (Permission denied); change the permissions of its folder, or name another file"
    )


async def test_a_file_that_cannot_be_written_to_is_refused(folder_of_nobody: Path) -> None:
    path = folder_of_nobody / "peekaping.db"
    await Database.open(path).close()
    allow(path, 0o444)
    allow(f"{path}-lock", 0o666)
    allow(f"{path}-key", 0o644)
    allow(folder_of_nobody, 0o777)
    become_nobody()
    assert refusal(path) == (
        f"{path} cannot be used: it cannot be written to; change its permissions and its folder's, or name another file"
    )


def test_a_file_that_failed_to_be_made_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "peekaping.db"

    def fail(_: object) -> None:
        raise LookupError

    monkeypatch.setattr("peekaping.store.database.migrations.apply", fail)
    with pytest.raises(LookupError):
        Database.open(path)
    assert files(tmp_path) == {"peekaping.db-lock"}


async def test_a_file_is_served_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    database = Database.open(path)
    assert refusal(path) == f"{path} is in use by another peekaping; end that one, or name another file"
    await database.close()
    await Database.open(path).close()


async def test_a_process_that_died_leaves_the_file_free(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    script = f"import os\nfrom peekaping.store.database import Database\nDatabase.open({str(path)!r})\nos.kill(os.getpid(), 9)"
    process = await trio.run_process([sys.executable, "-c", script], check=False)
    assert process.returncode == -signal.SIGKILL
    await Database.open(path).close()


async def test_a_command_may_open_the_file_beside_a_server(tmp_path: Path) -> None:
    server = Database.open(tmp_path / "peekaping.db")
    command = Database.open(tmp_path / "peekaping.db", alone=False)
    await command.write(put("made beside"))
    await command.close()
    assert await names(server) == ["made beside"]
    assert "in use" in refusal(tmp_path / "peekaping.db"), "the server has it still"
    await server.close()


async def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "100% sure? #1 ü.db"
    await Database.open(path).close()
    assert path.exists()


# Transactions


async def test_a_function_that_raises_writes_nothing(database: Database) -> None:
    def half(db: sqlite_utils.Database) -> None:
        db.execute("INSERT INTO setting VALUES ('half', x'00')")
        raise LookupError("stop")

    with pytest.raises(LookupError):
        await database.write(half)
    await database.write(put("whole"))
    assert await names(database) == ["whole"]


async def test_a_cancelled_write_is_made_whole(database: Database) -> None:
    with trio.CancelScope() as scope:

        def cancelled_meanwhile(db: sqlite_utils.Database) -> None:
            db.execute("INSERT INTO setting VALUES ('one', x'00')")
            trio.from_thread.run_sync(scope.cancel)
            db.execute("INSERT INTO setting VALUES ('two', x'00')")

        await database.write(cancelled_meanwhile)
    assert await names(database) == ["one", "two"]


async def test_reading_does_not_write(database: Database) -> None:
    with pytest.raises(StoreFailed, match="cannot be written to"):
        await database.read(put("stolen"))
    assert await names(database) == []


async def test_a_read_sees_one_state_while_others_write(database: Database) -> None:
    started, go_on = trio.Event(), trio.Event()

    def twice(db: sqlite_utils.Database) -> list[int]:
        def count() -> int:
            return int(db.execute("SELECT count(*) FROM setting").fetchone()[0])

        first = count()
        trio.from_thread.run_sync(started.set)
        trio.from_thread.run(go_on.wait)
        return [first, count()]

    async with trio.open_nursery() as nursery:

        async def write_between() -> None:
            await started.wait()
            await database.write(put("new"))
            go_on.set()

        nursery.start_soon(write_between)
        assert await database.read(twice) == [0, 0]
    assert await names(database) == ["new"]


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def test_threads_that_write_give_way_to_the_event_loop(tmp_path: Path) -> None:
    before = niceness()
    database = Database.open(tmp_path / "peekaping.db", gives_way=True)
    try:
        assert await database.write(lambda _: niceness()) == max(before, NICE)
        assert niceness() == before
    finally:
        await database.close()


async def test_a_sandbox_that_forbids_to_give_way_does_not_stop_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(which: int, who: int, priority: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", forbidden)
    database = Database.open(tmp_path / "peekaping.db", gives_way=True)
    try:
        await database.write(put("written"))
        assert await names(database) == ["written"]
    finally:
        await database.close()


async def test_a_mistake_of_ours_is_no_failure_of_the_store(database: Database) -> None:
    await database.write(put("name"))
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(put("name"))


async def test_another_programs_lock_fails_after_a_while(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.write(lambda db: db.execute("PRAGMA busy_timeout = 1"))
    with sqlite_utils.Database(tmp_path / "peekaping.db") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed, match="another program holds the database for too long; end that program"):
            await database.write(put("late"))
        other.execute("ROLLBACK")
    await database.write(put("in time"))
    assert await names(database) == ["in time"]


# Files, closing


async def test_the_log_is_a_file_while_open_and_is_folded_in_at_the_end(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "peekaping.db")
    await database.write(put("kept"))
    assert files(tmp_path) == {
        "peekaping.db", "peekaping.db-key", "peekaping.db-lock", "peekaping.db-shm", "peekaping.db-wal",
    }  # fmt: skip
    await database.close()
    assert files(tmp_path) == {"peekaping.db", "peekaping.db-key", "peekaping.db-lock"}
    with sqlite_utils.Database(tmp_path / "peekaping.db") as plain:
        assert plain.execute("SELECT name FROM setting").fetchall() == [("kept",)]


async def test_closing_waits_for_the_write_and_stops_reads(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "peekaping.db")
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    reading, writing, go_on = trio.Event(), trio.Event(), trio.Event()

    def read_for_ever(db: sqlite_utils.Database) -> None:
        trio.from_thread.run_sync(reading.set)
        db.execute(endless).fetchall()

    def write_slowly(db: sqlite_utils.Database) -> None:
        trio.from_thread.run_sync(writing.set)
        trio.from_thread.run(go_on.wait)
        db.execute("INSERT INTO setting VALUES ('slow', x'00')")

    async def expect_interruption() -> None:
        with pytest.raises(StoreFailed, match="the database was closed meanwhile"):
            await database.read(read_for_ever)
        go_on.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_interruption)
        nursery.start_soon(database.write, write_slowly)
        await reading.wait()
        await writing.wait()
        await database.close()
    database = Database.open(tmp_path / "peekaping.db")
    assert await names(database) == ["slow"]
    await database.close()


async def test_a_closed_database_says_so_and_closes_again(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "peekaping.db")
    await database.close()
    await database.close()
    with pytest.raises(trio.ClosedResourceError, match="the database is closed"):
        await database.read(put("x"))
    with pytest.raises(trio.ClosedResourceError, match="the database is closed"):
        await database.write(put("x"))
