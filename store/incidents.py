"""Incidents: what is said of trouble, by hand or by a monitor's transition (`outages.py` writes those).

Methods raise `StoreFailed` when the database cannot do its part. All spans and times are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlite_utils import Database as Connection

from peekaping.store.database import Database


class Update(msgspec.Struct, frozen=True, array_like=True):
    """What was said of an incident in its course."""

    at: int
    status: str
    message: str


class Incident(msgspec.Struct, frozen=True):
    """Trouble with some monitors, over when it has an end."""

    title: str | None
    """None where a transition opened it and nobody gave it one."""
    status: str
    start: int
    end: int | None
    monitors: tuple[int, ...]
    opened_by: int | None = None
    """The monitor whose transition opened it, and whose next will resolve it; None: somebody did by hand."""
    number: int = 0
    updates: tuple[Update, ...] = ()
    """Newest first."""


_SELECT = """
    SELECT
        title, status, started, ended,
        (SELECT json_group_array(monitor) FROM (
            SELECT opened_by AS monitor WHERE opened_by IS NOT NULL
            UNION ALL SELECT monitor FROM incident_monitor WHERE incident = incident.number
        )),
        opened_by, number,
        (SELECT json_group_array(json_array(at, status, message)) FROM (
            SELECT at, status, message FROM incident_update WHERE incident = incident.number ORDER BY at DESC, number DESC
        ))
    FROM incident
"""
_IS_ABOUT = """
    (opened_by IN (SELECT value FROM json_each(:monitors))
    OR number IN (SELECT incident FROM incident_monitor WHERE monitor IN (SELECT value FROM json_each(:monitors))))
"""
_NEWEST_FIRST = "started DESC, number DESC"
_LASTING_FIRST = f"ended IS NULL DESC, {_NEWEST_FIRST}"
_INSERT = "INSERT INTO incident (title, status, started, ended, workspace) VALUES (?, ?, ?, ?, ?) RETURNING number"
_UPDATE = "UPDATE incident SET title = ?, status = ?, started = ?, ended = ? WHERE number = ?"
_ATTACH = """
    INSERT INTO incident_monitor
    SELECT DISTINCT ?, value FROM json_each(?) WHERE value IN (SELECT number FROM monitor WHERE workspace = ?)
"""
_numbers = msgspec.json.Decoder(tuple[int, ...]).decode
_updates = msgspec.json.Decoder(tuple[Update, ...]).decode


class Incidents:
    """The incidents in a database, each workspace's for itself: an incident has monitors of its workspace alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def revision(self) -> int:
        """Another number than before whenever incidents may have changed."""
        return self._database.revision

    async def add(self, workspace: int, incident: Incident) -> Incident:
        """Store a new incident, `number` and `updates` aside; gives it back as it is stored."""

        def add(db: Connection) -> Incident:
            (number,) = db.execute(_INSERT, (*_columns(incident), workspace)).fetchone()
            db.execute(_ATTACH, (number, _json(incident.monitors), workspace))
            return _existing(db, workspace, number)

        return await self._database.write_shown(add)

    async def get(self, workspace: int, number: int) -> Incident | None:
        return await self._database.read(lambda db: _get(db, workspace, number))

    async def change(
        self, workspace: int, number: int, rule: Callable[[Incident], Incident], said: tuple[int, str] | None = None
    ) -> Incident | None:
        """Make of an incident what `rule` makes of it, and note when what was said; None when it is not there.

        What `rule` raises leaves it as it was. It runs on a worker thread.
        """

        def change(db: Connection) -> Incident | None:
            before = _get(db, workspace, number)
            if before is None:
                return None
            after = rule(before)
            db.execute(_UPDATE, (*_columns(after), number))
            if after.monitors != before.monitors:
                db.execute("DELETE FROM incident_monitor WHERE incident = ?", (number,))
                db.execute(_ATTACH, (number, _json(after.monitors), workspace))
            if said is not None:
                db.execute(
                    "INSERT INTO incident_update (incident, at, status, message) VALUES (?, ?, ?, ?)",
                    (number, said[0], after.status, said[1]),
                )
            return _existing(db, workspace, number)

        return await self._database.write_shown(change)

    async def remove(self, workspace: int, number: int) -> None:
        def remove(db: Connection) -> None:
            if db.execute("DELETE FROM incident WHERE number = ? AND workspace = ?", (number, workspace)).rowcount:
                db.execute("DELETE FROM incident_monitor WHERE incident = ?", (number,))
                db.execute("DELETE FROM incident_update WHERE incident = ?", (number,))

        await self._database.write_shown(remove)

    async def page(
        self, workspace: int, *, monitors: Sequence[int] | None, is_over: bool | None, first: int, limit: int
    ) -> tuple[int, list[Incident]]:
        """How many incidents there are, of some monitors or all, over or not; and `limit` of them, newest first."""
        where = "workspace = :workspace"
        if monitors is not None:
            where += f" AND {_IS_ABOUT}"
        if is_over is not None:
            where += f" AND ended IS {'NOT ' if is_over else ''}NULL"
        values = {"workspace": workspace, "monitors": _json(monitors or ()), "first": first, "limit": limit}

        def read(db: Connection) -> tuple[int, list[Incident]]:
            (count,) = db.execute(f"SELECT count(*) FROM incident WHERE {where}", values).fetchone()
            return count, _some(db, where, _NEWEST_FIRST, values)

        return await self._database.read(read)

    async def of_monitors(self, monitors: Sequence[int], *, since: int, limit: int) -> list[Incident]:
        """Those that last and those that ended after `since`: the first come first, then newest first."""
        values = {"monitors": _json(monitors), "since": since, "first": 0, "limit": limit}
        where = f"{_IS_ABOUT} AND (ended IS NULL OR ended > :since)"
        return await self._database.read(lambda db: _some(db, where, _LASTING_FIRST, values))


def forget(db: Connection, monitor: int) -> None:
    """Take a removed monitor out of the incidents that were made by hand."""
    db.execute("DELETE FROM incident_monitor WHERE monitor = ?", (monitor,))


def _some(db: Connection, where: str, order: str, values: dict[str, Any]) -> list[Incident]:
    """`:limit` incidents from place `:first` on. They are chosen before anything is composed of them: there may be thousands."""
    chosen = f"SELECT number FROM incident WHERE {where} ORDER BY {order} LIMIT :limit OFFSET :first"
    return list(map(_decode, db.execute(f"{_SELECT} WHERE number IN ({chosen}) ORDER BY {order}", values)))


def _get(db: Connection, workspace: int, number: int) -> Incident | None:
    row = db.execute(f"{_SELECT} WHERE number = ? AND workspace = ?", (number, workspace)).fetchone()
    return None if row is None else _decode(row)


def _existing(db: Connection, workspace: int, number: int) -> Incident:
    found = _get(db, workspace, number)
    assert found is not None
    return found


def _columns(incident: Incident) -> tuple[object, ...]:
    return incident.title, incident.status, incident.start, incident.end


def _decode(row: tuple[object, ...]) -> Incident:
    title, status, start, end, monitors, opened_by, number, updates = row
    return msgspec.convert(
        {
            "title": title, "status": status, "start": start, "end": end, "monitors": _numbers(str(monitors)),
            "opened_by": opened_by, "number": number, "updates": _updates(str(updates)),
        },
        Incident,
    )  # fmt: skip


def _json(values: Sequence[int]) -> str:
    return msgspec.json.encode(values).decode()
