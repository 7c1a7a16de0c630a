"""API keys: what a program shows in place of a login. Stored is a hash; the key itself is known to its user alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlite_utils import Database as Connection

from peekaping.store.database import Database

_FIELDS = "id, user, name, prefix, hash, scopes, created, expires, used"


class ApiKey(msgspec.Struct, frozen=True):
    """One key of a user, whose rights it shares as far as its scopes go."""

    id: int
    user: int
    name: str
    prefix: str
    """The part that is shown, to tell keys apart."""
    hash: bytes
    scopes: tuple[str, ...]
    created_ms: int
    expires_ms: int | None
    used_ms: int | None
    """When it was last used, give or take a minute."""


class ApiKeys:
    """The keys in a database. Methods raise `StoreFailed` when it cannot do its part."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[ApiKey]:
        """Of all users, oldest first."""
        statement = f"SELECT {_FIELDS} FROM api_key WHERE user IN (SELECT id FROM user) ORDER BY id"
        rows = await self._database.read(lambda db: db.execute(statement).fetchall())
        return list(map(_key, rows))

    async def add(
        self,
        user: int,
        name: str,
        prefix: str,
        hash: bytes,
        scopes: Sequence[str],
        *,
        now_ms: int,
        expires_ms: int | None,
    ) -> ApiKey:
        values = (user, name, prefix, hash, " ".join(scopes), now_ms, expires_ms)
        statement = f"""
            INSERT INTO api_key (user, name, prefix, hash, scopes, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)
            RETURNING {_FIELDS}
        """
        return _key(await self._database.write(lambda db: db.execute(statement, values).fetchone()))

    async def remove(self, id: int) -> None:
        await self._database.write(lambda db: db.execute("DELETE FROM api_key WHERE id = ?", (id,)))

    async def note_use(self, id: int, at_ms: int) -> None:
        def note(db: Connection) -> None:
            db.execute("UPDATE api_key SET used = ? WHERE id = ?", (at_ms, id))

        await self._database.write(note)


def _key(row: Sequence[Any]) -> ApiKey:
    id, user, name, prefix, hash, scopes, *times = row
    return ApiKey(id, user, name, prefix, hash, tuple(scopes.split()), *times)
