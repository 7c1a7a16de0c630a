"""Users, their sessions, and the secrets of the server: what the API keeps beside the engine's store, in the same file."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import Any

import msgspec
from sqlite_utils import Database as Connection

from peekaping.store.database import Database
from peekaping.store.errors import EmailTaken, NoSuchWorkspace

_FIELDS = "id, email, name, password_hash, created, workspace, role, operator, totp_step IS NOT NULL"
_USER = f"SELECT {_FIELDS} FROM user"


class Role(StrEnum):
    """What a user may do in the workspace; each may do what those before it may."""

    VIEWER = "viewer"
    """Look."""
    EDITOR = "editor"
    """Change what is watched and who is told."""
    ADMIN = "admin"
    """Manage the users."""


class User(msgspec.Struct, frozen=True):
    """Somebody who may log in. The password is stored as a hash that `argon2` made."""

    id: int
    email: str
    name: str
    password_hash: str
    created_ms: int
    workspace: int
    role: Role
    operator: bool
    """Runs the deployment: makes workspaces, and users in all of them."""
    has_totp: bool
    """A login needs a one-time password too."""


class Rotation(Enum):
    """What came of exchanging a refresh token."""

    ROTATED = "rotated"
    """It was the session's newest; the new one has taken its place."""
    REUSED = "reused"
    """It was not the newest: somebody has a copy of an old one. The session has been ended."""
    GONE = "gone"
    """There is no such session, or it has ended or expired."""


class Accounts:
    """The accounts in a database. Methods raise `StoreFailed` when it cannot do its part."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_user(
        self,
        email: str,
        name: str,
        password_hash: str,
        now_ms: int,
        *,
        workspace: int = 1,
        role: Role = Role.ADMIN,
        operator: bool = False,
    ) -> User:
        """The first user of all is an operator. Raises EmailTaken, NoSuchWorkspace."""

        def add(db: Connection) -> User:
            if db.execute("SELECT 1 FROM workspace WHERE id = ?", (workspace,)).fetchone() is None:
                raise NoSuchWorkspace(f"there is no workspace-{workspace}")
            values = (email, name, password_hash, now_ms, workspace, role, operator)
            statement = f"""
                INSERT INTO user (email, name, password_hash, created, workspace, role, operator)
                VALUES (?, ?, ?, ?, ?, ?, ? OR NOT EXISTS (SELECT 1 FROM user)) RETURNING {_FIELDS}
            """
            return _user(_unless_taken(db, email, statement, values))

        return await self._database.write(add)

    async def change_user(
        self,
        id: int,
        now_ms: int,
        *,
        email: str | None = None,
        name: str | None = None,
        password_hash: str | None = None,
        role: Role | None = None,
        operator: bool | None = None,
    ) -> tuple[User, list[str] | None]:
        """Change what is given of a user who is there. Whoever gets another password or other rights must log in again: gives
        back the sessions that were ended for it, None where there was no need. Raises EmailTaken."""

        def change(db: Connection) -> tuple[User, list[str] | None]:
            statement = f"""
                UPDATE user SET
                    email = ifnull(?, email), name = ifnull(?, name), password_hash = ifnull(?, password_hash),
                    role = ifnull(?, role), operator = ifnull(?, operator)
                WHERE id = ? RETURNING {_FIELDS}
            """
            before = _user(db.execute(f"{_USER} WHERE id = ?", (id,)).fetchone())
            user = _user(_unless_taken(db, email, statement, (email, name, password_hash, role, operator, id)))
            same = (before.password_hash, before.role, before.operator) == (
                user.password_hash,
                user.role,
                user.operator,
            )
            return user, None if same else _end(db, "user = ?", id, now_ms)

        return await self._database.write(change)

    async def remove_user(self, id: int, now_ms: int) -> list[str]:
        """Forget a user with the API keys; gives back the sessions that were ended. What others own together stays."""

        def remove(db: Connection) -> list[str]:
            for table, column in (("user", "id"), ("api_key", "user"), ("recovery_code", "user")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (id,))
            return _end(db, "user = ?", id, now_ms)

        return await self._database.write(remove)

    async def users(self, workspace: int | None = None) -> list[User]:
        """All users, or a workspace's, oldest first."""
        statement = f"{_USER} WHERE workspace = ifnull(?, workspace) ORDER BY id"
        rows = await self._database.read(lambda db: db.execute(statement, (workspace,)).fetchall())
        return list(map(_user, rows))

    async def user_by_email(self, email: str) -> User | None:
        """Upper and lower case are the same."""
        return await self._user("email = ?", email)

    async def user(self, id: int) -> User | None:
        return await self._user("id = ?", id)

    async def has_users(self) -> bool:
        return await self._user("true LIMIT 1") is not None

    async def _user(self, condition: str, *values: object) -> User | None:
        row = await self._database.read(lambda db: db.execute(f"{_USER} WHERE {condition}", values).fetchone())
        return None if row is None else _user(row)

    async def secret(self, name: str) -> bytes:
        """32 random bytes, made at the first call for that name and the same ever after."""

        def get_or_make(db: Connection) -> bytes:
            db.execute("INSERT OR IGNORE INTO setting VALUES (?, seal(?))", (name, secrets.token_hex(32)))
            (value,) = db.execute("SELECT unseal(value) FROM setting WHERE name = ?", (name,)).fetchone()
            return bytes.fromhex(value)

        return await self._database.write(get_or_make)

    async def open_session(self, user_id: int, address: str, refresh_hash: bytes, now_ms: int, expires_ms: int) -> str:
        """A new session's id, which nobody can guess. Sessions that expired are forgotten on the way."""
        id = secrets.token_urlsafe(16)

        def insert(db: Connection) -> None:
            db.execute("DELETE FROM session WHERE expires <= ?", (now_ms,))
            db.execute(
                "INSERT INTO session (id, user, address, refresh_hash, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
                (id, user_id, address, refresh_hash, now_ms, expires_ms),
            )

        await self._database.write(insert)
        return id

    async def known_addresses(self) -> list[tuple[str, str]]:
        """From where which e-mail address has logged in, as far as sessions are remembered; the latest last."""
        statement = "SELECT email, address FROM session JOIN user ON user.id = user ORDER BY session.created"
        return await self._database.read(lambda db: [tuple(row) for row in db.execute(statement).fetchall()])

    async def rotate_session(
        self, session_id: str, old_hash: bytes, new_hash: bytes, now_ms: int, expires_ms: int
    ) -> tuple[Rotation, int | None]:
        """Exchange a session's refresh token; gives back what came of it, and whose session it is unless it is gone."""

        def rotate(db: Connection) -> tuple[Rotation, int | None]:
            row = db.execute(
                "SELECT user, refresh_hash FROM session WHERE id = ? AND expires > ? AND ended IS NULL",
                (session_id, now_ms),
            ).fetchone()
            if row is None:
                return Rotation.GONE, None
            user, newest_hash = row
            if not secrets.compare_digest(newest_hash, old_hash):
                db.execute("UPDATE session SET ended = ? WHERE id = ?", (now_ms, session_id))
                return Rotation.REUSED, user
            db.execute(
                "UPDATE session SET refresh_hash = ?, expires = ? WHERE id = ?", (new_hash, expires_ms, session_id)
            )
            return Rotation.ROTATED, user

        return await self._database.write(rotate)

    async def end_session(self, session_id: str, now_ms: int) -> None:
        """End a session; one that has ended, or never was, stays as it is."""
        await self._database.write(lambda db: _end(db, "id = ?", session_id, now_ms))

    async def end_sessions(self, user_id: int, now_ms: int) -> list[str]:
        """End all of a user's sessions; gives back those that had not ended."""
        return await self._database.write(lambda db: _end(db, "user = ?", user_id, now_ms))

    async def ended_sessions(self, since_ms: int) -> list[str]:
        """The sessions that were ended at this time or later, oldest first: their access tokens may still be alive."""
        statement = "SELECT id FROM session WHERE ended >= ? ORDER BY ended"
        rows = await self._database.read(lambda db: db.execute(statement, (since_ms,)).fetchall())
        return [id for (id,) in rows]


def _user(row: Sequence[Any]) -> User:
    id, email, name, password_hash, created_ms, workspace, role, operator, has_totp = row
    return User(id, email, name, password_hash, created_ms, workspace, Role(role), bool(operator), bool(has_totp))


def _unless_taken(db: Connection, email: str | None, statement: str, values: Sequence[object]) -> Sequence[Any]:
    try:
        row: Sequence[Any] = db.execute(statement, values).fetchone()
    except sqlite3.IntegrityError as error:
        raise EmailTaken(f"another user has the e-mail address {email}") from error
    return row


def _end(db: Connection, condition: str, value: str | int, now_ms: int) -> list[str]:
    statement = f"UPDATE session SET ended = ? WHERE {condition} AND ended IS NULL RETURNING id"
    return [id for (id,) in db.execute(statement, (now_ms, value)).fetchall()]
