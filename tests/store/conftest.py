from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peekaping.engine.memory import MemoryStore
from peekaping.engine.ports import Store
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore
from tests.store.support import opened


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store of each kind."""
    if request.param == "memory":
        yield MemoryStore()
    else:
        async with opened(tmp_path / "peekaping.db") as store:
            yield store


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database.open(tmp_path / "peekaping.db")
    yield database
    await database.close()


@pytest.fixture
def sqlite(database: Database) -> SqliteStore:
    return SqliteStore(database)
