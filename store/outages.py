"""Outages in SQLite. An outage is an incident that a monitor's transition opened: the same row is both."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlite_utils import Database

from peekaping.engine.outages import Outage, changes
from peekaping.engine.records import Heartbeat

# `engine.outages.Change` row by row. Batches may come again; what has ended stays so. Those of a monitor that was removed
# meanwhile end here. One statement for all transitions of a batch, and most batches have none.
_STORE = """
    INSERT INTO incident (workspace, status, started, ended, opened_by)
    SELECT workspace, iif(ended IS NULL, 'investigating', 'resolved'), started, ended, number FROM (
        SELECT
            monitor.workspace,
            monitor.number,
            ifnull(value ->> 1, (
                SELECT started FROM incident WHERE opened_by = monitor.number AND started < value ->> 2
                ORDER BY started DESC LIMIT 1
            )) AS started,
            value ->> 2 AS ended
        FROM json_each(?) JOIN monitor ON monitor.number = value ->> 0
    ) WHERE started IS NOT NULL
    ON CONFLICT (opened_by, started) DO UPDATE SET ended = excluded.ended, status = 'resolved'
    WHERE ended IS NULL AND excluded.ended IS NOT NULL
"""
_OF_ONE = """
    SELECT started, ended, count(*) OVER () FROM incident
    WHERE opened_by = ? AND started < ? AND (ended IS NULL OR ended > ?)
    ORDER BY started DESC LIMIT ?
"""
_OLD = "SELECT number FROM incident WHERE opened_by IS NOT NULL AND ended < ? LIMIT ?"


def encode(heartbeats: Iterable[Heartbeat]) -> str | None:
    """What a batch changes of outages, as one JSON text; None when it changes nothing, as nearly all."""
    found = changes(heartbeats)
    return msgspec.json.encode(found).decode() if found else None


def store(db: Database, batch: str) -> None:
    """Store what `encode` made."""
    db.execute(_STORE, (batch,))


def of_one(db: Database, number: int, from_ms: int, to_ms: int, limit: int) -> tuple[int, list[Outage]]:
    rows = db.execute(_OF_ONE, (number, to_ms, from_ms, limit)).fetchall()
    return rows[0][2] if rows else 0, [Outage(started, ended) for started, ended, _ in rows]


def remove_old(db: Database, cutoff: int, limit: int) -> int:
    """Delete some outages that ended before, and what was said of them; gives back how many."""
    return _remove(db, _OLD, (cutoff, limit))


def remove(db: Database, number: int) -> None:
    """Delete a removed monitor's."""
    _remove(db, "SELECT number FROM incident WHERE opened_by = ?", (number,))


def _remove(db: Database, which: str, values: tuple[int, ...]) -> int:
    numbers = msgspec.json.encode([number for (number,) in db.execute(which, values)]).decode()
    db.execute("DELETE FROM incident_update WHERE incident IN (SELECT value FROM json_each(?))", (numbers,))
    return db.execute("DELETE FROM incident WHERE number IN (SELECT value FROM json_each(?))", (numbers,)).rowcount
