"""The schema grows by steps: each once, and none by half."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import sqlite_utils
from sqlite_utils.migrations import Migrations

from peekaping.engine.certificate import SeenCertificate
from peekaping.engine.clock import utc_ms
from peekaping.engine.records import Status
from peekaping.store.database import Database
from peekaping.store.migrations import keep_outages, migrations
from tests.store.support import NOON, beat, certificate, monitor, opened


def schema(path: Path) -> str:
    with sqlite_utils.Database(path) as db:
        return str(db.schema)


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> Migrations:
    """The migrations as a later version would have them: ours, and what a test adds."""
    later = Migrations("peekaping")
    for migration in migrations.pending(sqlite_utils.Database(memory=True)):
        later(name=migration.name)(migration.fn)
    monkeypatch.setattr("peekaping.store.database.migrations", later)
    return later


async def test_each_step_is_made_once(tmp_path: Path, grown: Migrations) -> None:
    path = tmp_path / "peekaping.db"
    calls: list[str] = []
    await Database.open(path).close()

    @grown()
    def m900_more(db: sqlite_utils.Database) -> None:
        calls.append("more")
        db.execute("CREATE TABLE more (x)")

    await Database.open(path).close()
    await Database.open(path).close()
    assert calls == ["more"]
    with sqlite_utils.Database(path) as db:
        assert grown.pending(db) == []


async def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, grown: Migrations) -> None:
    path = tmp_path / "peekaping.db"
    await Database.open(path).close()
    before = schema(path)

    @grown()
    def m900_fine(db: sqlite_utils.Database) -> None:
        db.execute("CREATE TABLE fine (x)")

    @grown()
    def m901_broken(db: sqlite_utils.Database) -> None:
        db.execute("CREATE TABLE half (x)")
        raise LookupError("stop")

    with pytest.raises(LookupError):
        Database.open(path)
    assert schema(path) == before
    with sqlite_utils.Database(path) as db:
        assert [migration.name for migration in grown.pending(db)] == ["m900_fine", "m901_broken"]


async def test_a_file_from_before_certificates_keeps_its_monitors_and_learns_theirs(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    with sqlite_utils.Database(path) as db:
        migrations.apply(db, stop_before="m004_certificates")
        definition = msgspec.json.encode(monitor()).decode()
        db.execute("INSERT INTO monitor (definition, created, updated) VALUES (?, ?, ?)", (definition, NOON, NOON))
    async with opened(path) as store:
        assert [snapshot.entry.monitor for snapshot in await store.load()] == [monitor()]
        await store.append([beat(1, NOON, certificate=certificate())])
        assert [snapshot.certificate for snapshot in await store.load()] == [SeenCertificate(certificate(), NOON)]


async def test_the_first_workspace_is_as_old_as_the_first_user_or_new(tmp_path: Path) -> None:
    path, before = tmp_path / "peekaping.db", utc_ms()
    statement = "SELECT created FROM workspace WHERE id = 1"
    await Database.open(path).close()
    with sqlite_utils.Database(path) as db:
        assert before <= db.execute(statement).fetchone()[0] <= utc_ms()
        db.execute("UPDATE workspace SET created = 0")  # as it was before this step
        for at in (NOON + 5, NOON):
            db.execute("INSERT INTO user (email, name, password_hash, created) VALUES (?, 'x', 'x', ?)", (str(at), at))
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm008_first_workspace'")
    for _ in range(2):
        await Database.open(path).close()
        with sqlite_utils.Database(path) as db:
            assert db.execute(statement).fetchone() == (NOON,)


async def test_the_outages_of_a_history_from_before_they_were_noted_are_found(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    down, up = Status.DOWN, Status.UP
    async with opened(path) as store:
        for _ in range(2):
            await store.add(monitor(), now_ms=NOON, push_id=None)
        changes = [(1, NOON, up), (1, NOON + 10, down), (1, NOON + 30, up), (2, NOON + 20, down)]
        await store.append([beat(number, at, status, transition=True) for number, at, status in changes])
    statement = "SELECT opened_by, started, ended, status FROM incident ORDER BY opened_by"
    with sqlite_utils.Database(path) as db:
        noted = db.execute(statement).fetchall()
        db.execute("DELETE FROM incident")
        keep_outages(db)
        assert db.execute(statement).fetchall() == noted
    assert noted == [(1, NOON + 10, NOON + 30, "resolved"), (2, NOON + 20, None, "investigating")]
