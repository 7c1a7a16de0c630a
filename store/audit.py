"""The audit log: who asked for which change, when, from where, and what came of it. Never what was sent: that may be secret."""

from __future__ import annotations

import msgspec
from sqlite_utils import Database as Connection

from peekaping.engine.accounting import DAY
from peekaping.store.database import Database

KEPT_MS = 365 * DAY
_FIELDS = "id, at, user, email, api_key, address, action, target, status"


class AuditEntry(msgspec.Struct, frozen=True):
    id: int
    at: int
    user: int
    email: str | None
    """The user's at that time."""
    api_key: int | None
    """The key that was shown in place of a login."""
    address: str
    action: str
    target: str
    status: int | None
    """Of the answer; None where there was none, because the client went away or the server was stopped."""


class AuditLog:
    """The log in a database. Methods raise `StoreFailed` when it cannot do its part."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        *,
        workspace: int,
        user: int,
        api_key: int | None,
        address: str,
        action: str,
        target: str,
        now_ms: int,
        status: int | None = None,
    ) -> int:
        """Note a change that is about to be made, and forget what is older than a year; gives back the entry's number."""

        def add(db: Connection) -> int:
            _forget(db, now_ms)
            statement = """
                INSERT INTO audit (workspace, at, user, email, api_key, address, action, target, status)
                VALUES (?, ?, ?, (SELECT email FROM user WHERE id = ?), ?, ?, ?, ?, ?) RETURNING id
            """
            values = (workspace, now_ms, user, user, api_key, address, action, target, status)
            (id,) = db.execute(statement, values).fetchone()
            return int(id)

        return await self._database.write(add)

    async def forget(self, now_ms: int) -> None:
        """Forget what is older than a year."""
        await self._database.write(lambda db: _forget(db, now_ms))

    async def finish(self, id: int, status: int, made: str | None) -> None:
        """Note what came of it: the answer's status and, of something that was made, the id where the target has not got it."""
        statement = """
            UPDATE audit SET status = :status, target = target || iif(
                :made IS NULL OR instr(target || '/', '/' || :made || '/'), '', '/' || :made
            ) WHERE id = :id
        """
        values = {"status": status, "made": made, "id": id}
        await self._database.write(lambda db: db.execute(statement, values))

    async def page(self, workspace: int, *, first: int, limit: int) -> tuple[int, list[AuditEntry]]:
        """How many entries a workspace has, and `limit` of them from the `first` on, newest first."""

        def page(db: Connection) -> tuple[int, list[AuditEntry]]:
            (count,) = db.execute("SELECT count(*) FROM audit WHERE workspace = ?", (workspace,)).fetchone()
            statement = f"SELECT {_FIELDS} FROM audit WHERE workspace = ? ORDER BY id DESC LIMIT ? OFFSET ?"
            return count, [AuditEntry(*row) for row in db.execute(statement, (workspace, limit, first))]

        return await self._database.read(page)


def _forget(db: Connection, now_ms: int) -> None:
    db.execute("DELETE FROM audit WHERE at < ?", (now_ms - KEPT_MS,))
