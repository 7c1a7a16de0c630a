"""Workspaces: what one owns another never sees. Every deployment has the first, which is number 1."""

from __future__ import annotations

import sqlite3

import msgspec
from sqlite_utils import Database as Connection

from peekaping.store.database import Database
from peekaping.store.errors import NameTaken


class Workspace(msgspec.Struct, frozen=True):
    id: int
    name: str
    created_ms: int


class Workspaces:
    """The workspaces in a database. Methods raise `StoreFailed` when it cannot do its part."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Workspace]:
        """Oldest first."""
        statement = "SELECT id, name, created FROM workspace ORDER BY id"
        rows = await self._database.read(lambda db: db.execute(statement).fetchall())
        return [Workspace(*row) for row in rows]

    async def add(self, name: str, now_ms: int) -> Workspace:
        """Raises NameTaken."""

        def add(db: Connection) -> Workspace:
            statement = "INSERT INTO workspace (name, created) VALUES (?, ?) RETURNING id, name, created"
            try:
                return Workspace(*db.execute(statement, (name, now_ms)).fetchone())
            except sqlite3.IntegrityError as error:
                raise NameTaken(f"another workspace is called {name}") from error

        return await self._database.write(add)
