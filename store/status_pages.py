"""Status pages: which monitors the public sees, under which name.

Methods raise `StoreFailed` when the database cannot do its part.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlite_utils import Database as Connection

from peekaping.store.database import Database
from peekaping.store.errors import SlugTaken


class StatusPage(msgspec.Struct, frozen=True):
    """A page as its owners see it. The slug is its name in addresses, one for all workspaces."""

    slug: str
    title: str
    description: str
    published: bool
    monitors: tuple[int, ...]
    """In the order in which they are shown."""
    workspace: int
    created_ms: int
    updated_ms: int


_SELECT = """
    SELECT
        slug, title, description, published,
        (SELECT json_group_array(monitor) FROM (
            SELECT monitor FROM status_page_monitor WHERE page = status_page.id ORDER BY place
        )),
        workspace, created, updated
    FROM status_page
"""
_INSERT = """
    INSERT INTO status_page (slug, title, description, published, workspace, created, updated)
    VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id
"""
_UPDATE = """
    UPDATE status_page SET slug = ?, title = ?, description = ?, published = ?, workspace = ?, created = ?, updated = ?
    WHERE slug = ? RETURNING id
"""
_ATTACH = """
    INSERT INTO status_page_monitor
    SELECT ?, key, value FROM json_each(?) WHERE value IN (SELECT number FROM monitor WHERE workspace = ?)
"""


class StatusPages:
    """The status pages in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def revision(self) -> int:
        """Another number than before whenever pages, incidents or which monitors there are may have changed."""
        return self._database.revision

    async def add(self, page: StatusPage) -> StatusPage:
        """Raises SlugTaken."""

        def add(db: Connection) -> StatusPage:
            return _write(db, _INSERT, _columns(page), page)

        return await self._database.write_shown(add)

    async def change(self, workspace: int, slug: str, rule: Callable[[StatusPage], StatusPage]) -> StatusPage | None:
        """Make of a page what `rule` makes of it, on a worker thread; None when the workspace has no such page.

        Raises SlugTaken.
        """

        def change(db: Connection) -> StatusPage | None:
            before = _get(db, slug)
            if before is None or before.workspace != workspace:
                return None
            after = rule(before)
            return _write(db, _UPDATE, (*_columns(after), slug), after)

        return await self._database.write_shown(change)

    async def remove(self, workspace: int, slug: str) -> bool:
        """False when the workspace has no such page."""

        def remove(db: Connection) -> bool:
            statement = "DELETE FROM status_page WHERE workspace = ? AND slug = ? RETURNING id"
            row = db.execute(statement, (workspace, slug)).fetchone()
            if row is not None:
                db.execute("DELETE FROM status_page_monitor WHERE page = ?", row)
            return row is not None

        return await self._database.write_shown(remove)

    async def get(self, slug: str) -> StatusPage | None:
        return await self._database.read(lambda db: _get(db, slug))

    async def of_workspace(self, workspace: int, *, first: int, limit: int) -> tuple[int, list[StatusPage]]:
        """How many there are, and `limit` of them, oldest first."""

        def read(db: Connection) -> tuple[int, list[StatusPage]]:
            (count,) = db.execute("SELECT count(*) FROM status_page WHERE workspace = ?", (workspace,)).fetchone()
            rows = db.execute(f"{_SELECT} WHERE workspace = ? ORDER BY id LIMIT ? OFFSET ?", (workspace, limit, first))
            return count, [_decode(row) for row in rows]

        return await self._database.read(read)


def forget(db: Connection, monitor: int) -> None:
    """Take a removed monitor off all pages."""
    db.execute("DELETE FROM status_page_monitor WHERE monitor = ?", (monitor,))


def _write(db: Connection, statement: str, values: Sequence[Any], page: StatusPage) -> StatusPage:
    try:
        (id,) = db.execute(statement, values).fetchone()
    except sqlite3.IntegrityError as error:
        raise SlugTaken(f"another status page has the slug {page.slug}") from error
    db.execute("DELETE FROM status_page_monitor WHERE page = ?", (id,))
    db.execute(_ATTACH, (id, msgspec.json.encode(page.monitors).decode(), page.workspace))
    found = _get(db, page.slug)
    assert found is not None
    return found


def _get(db: Connection, slug: str) -> StatusPage | None:
    row = db.execute(f"{_SELECT} WHERE slug = ?", (slug,)).fetchone()
    return None if row is None else _decode(row)


def _columns(page: StatusPage) -> tuple[Any, ...]:
    values = (page.slug, page.title, page.description, page.published)
    return (*values, page.workspace, page.created_ms, page.updated_ms)


def _decode(row: Sequence[Any]) -> StatusPage:
    slug, title, description, published, monitors, *rest = row
    return StatusPage(slug, title, description, bool(published), tuple(msgspec.json.decode(monitors)), *rest)
