"""Monitors in SQLite: their definitions, and what each goes on from after a start."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter

import msgspec
from sqlite_utils import Database

from peekaping.engine.monitor import Monitor
from peekaping.engine.probes import decode_monitor
from peekaping.engine.records import Entry, Heartbeat, Snapshot
from peekaping.engine.restore import restore, restore_certificate, settles
from peekaping.store import certificates, heartbeats, incidents, outages, rollups, status_pages

_ADD = "INSERT INTO monitor (definition, created, updated, push_id, workspace) VALUES (seal(?), ?, ?, ?, ?) RETURNING number"
_REPLACE = "UPDATE monitor SET definition = seal(?), updated = ?, paused = ?, push_id = ?, target = ? WHERE number = ?"
_LOAD = f"""
    SELECT
        number, unseal(definition), created, updated, paused, push_id, target, workspace,
        (SELECT status FROM heartbeat WHERE monitor = number AND {heartbeats.IS_TRANSITION} ORDER BY at DESC LIMIT 1),
        {heartbeats.COLUMNS}
    FROM monitor LEFT JOIN heartbeat
    ON monitor = number AND at = (SELECT max(at) FROM heartbeat WHERE monitor = number)
    ORDER BY number
"""
_NEWEST_CHECKS = f"""
    SELECT {heartbeats.COLUMNS} FROM json_each(?) JOIN heartbeat ON monitor = value
    AND at = (SELECT max(at) FROM heartbeat WHERE monitor = value AND {heartbeats.IS_CHECK})
"""
# From the newest heartbeat back to the last that settles.
_UNSETTLED = f"""
    SELECT {heartbeats.COLUMNS} FROM json_each(?) JOIN heartbeat ON monitor = value
    AND at >= ifnull((
        SELECT at FROM heartbeat WHERE monitor = value AND {heartbeats.SETTLES} ORDER BY at DESC LIMIT 1
    ), 0)
    ORDER BY monitor, at DESC
"""


def add(db: Database, monitor: Monitor, now_ms: int, push_id: str | None, workspace: int = 1) -> Entry:
    (number,) = db.execute(_ADD, (_encode(monitor), now_ms, now_ms, push_id, workspace)).fetchone()
    return Entry(number, monitor, now_ms, now_ms, push_id=push_id, workspace=workspace)


def replace(db: Database, entry: Entry) -> None:
    definition = _encode(entry.monitor)
    values = (definition, entry.updated_ms, entry.paused, entry.push_id, entry.target_ms, entry.number)
    db.execute(_REPLACE, values)


def remove(db: Database, number: int) -> None:
    """Delete a monitor; its history is doomed to be pruned."""
    rollups.subtract(db, number)
    if db.execute("DELETE FROM monitor WHERE number = ?", (number,)).rowcount:
        certificates.remove(db, number)
        outages.remove(db, number)
        incidents.forget(db, number)
        status_pages.forget(db, number)
        db.execute("INSERT INTO doomed VALUES (?)", (number,))


def load(db: Database) -> list[Snapshot]:
    """All monitors, in four statements for all of them and two to move the recent heartbeats."""
    heartbeats.move(db)
    found = []
    for number, definition, created, updated, paused, push_id, target, workspace, confirmed, *row in db.execute(_LOAD):
        entry = Entry(number, decode_monitor(definition), created, updated, bool(paused), push_id, target, workspace)
        newest = None if row[0] is None else heartbeats.decode(row)
        found.append((entry, heartbeats.decode_status(confirmed), newest))
    runs = _unsettled(db, [newest.monitor for _, _, newest in found if newest is not None and not settles(newest)])
    by_hand = [newest.monitor for _, _, newest in found if newest is not None and not newest.is_check]
    rows = db.execute(_NEWEST_CHECKS, (msgspec.json.encode(by_hand).decode(),))
    checks = {check.monitor: check for check in map(heartbeats.decode, rows)}
    seen = certificates.load(db)
    snapshots = []
    for entry, confirmed, newest in found:
        newest_first = runs.get(entry.number) or ([] if newest is None else [newest])
        last = newest if newest is None or newest.is_check else checks.get(entry.number)
        certificate = restore_certificate(entry, seen.get(entry.number))
        newest_at = 0 if newest is None else newest.at
        snapshots.append(Snapshot(entry, restore(confirmed, newest_first), last, certificate, newest_at))
    return snapshots


def _unsettled(db: Database, numbers: Iterable[int]) -> dict[int, list[Heartbeat]]:
    """The heartbeats of these monitors since the last that settles, newest first."""
    rows = map(heartbeats.decode, db.execute(_UNSETTLED, (msgspec.json.encode(numbers).decode(),)))
    return {number: list(run) for number, run in groupby(rows, key=attrgetter("monitor"))}


def _encode(monitor: Monitor) -> str:
    return msgspec.json.encode(monitor).decode()
