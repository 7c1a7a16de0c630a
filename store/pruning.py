"""Forgetting in SQLite, in small steps: what is too old, and the history of monitors that are no more."""

from __future__ import annotations

from sqlite_utils import Database

from peekaping.engine.accounting import HOUR, MINUTE
from peekaping.engine.ports import HEARTBEATS_KEPT_MS, HOURS_KEPT_MS, MINUTES_KEPT_MS, OUTAGES_KEPT_MS
from peekaping.store import heartbeats, outages, outbox
from peekaping.store.rollups import TABLES

MONITORS_PER_STEP = 100
ROWS_PER_STEP = 1000
"""Of each table. A step then writes for about 5 ms where rows lie together, for 10 where each is on a page of its own."""

_OLD_SLICE = """
    WITH RECURSIVE slices (slice) AS (SELECT 0 UNION ALL SELECT slice + 1 FROM slices WHERE slice < ? - 1)
    SELECT slice FROM slices WHERE EXISTS (SELECT 1 FROM recent WHERE recent.slice = slices.slice AND at < ?) LIMIT 1
"""
_WINDOW = "SELECT count(*), max(number) FROM (SELECT number FROM monitor WHERE number > ? ORDER BY number LIMIT ?)"
# The state to go on from is kept: of the old heartbeats the newest transition and the newest change by hand, and the newest
# minute.
_NEWEST_OLD = "(SELECT max(at) FROM heartbeat WHERE monitor = number AND {condition} AND at < :cutoff)"
_OLD_HEARTBEATS = f"""
    DELETE FROM heartbeat WHERE (monitor, at) IN (
        WITH edge AS MATERIALIZED (
            SELECT
                number,
                {_NEWEST_OLD.format(condition=heartbeats.IS_TRANSITION)} AS transition,
                {_NEWEST_OLD.format(condition=heartbeats.IS_BY_HAND)} AS by_hand
            FROM monitor WHERE number > :first AND number <= :last
        )
        SELECT monitor, at FROM edge CROSS JOIN heartbeat
        ON monitor = number AND at < :cutoff AND at IS NOT transition AND at IS NOT by_hand
        LIMIT :limit
    )
"""
_OLD_BUCKETS = """
    DELETE FROM {table} WHERE (monitor, start) IN (
        WITH edge AS MATERIALIZED (
            SELECT number, {cutoff} AS cutoff FROM monitor WHERE number > :first AND number <= :last
        )
        SELECT monitor, start FROM edge CROSS JOIN {table} ON monitor = number AND start < cutoff LIMIT :limit
    )
"""
_OLD_MINUTES = _OLD_BUCKETS.format(
    table=TABLES[MINUTE], cutoff="min(:cutoff, (SELECT max(start) FROM minute WHERE monitor = number))"
)
_OLD_HOURS = _OLD_BUCKETS.format(table=TABLES[HOUR], cutoff=":cutoff")
_ALL_OF_ONE = """
    DELETE FROM {table} WHERE monitor = :monitor AND {key} <= ifnull(
        (SELECT {key} FROM {table} WHERE monitor = :monitor ORDER BY {key} LIMIT 1 OFFSET :limit - 1), 9e18
    )
"""


def step(db: Database, now_ms: int, after: int) -> int | None:
    """One step of a round, whose last step ended at the monitor with the number `after` (0: a new round).

    Returns: where this one ended; None when the round is complete.
    """
    if _forget_doomed(db) or _move_old(db, now_ms - HEARTBEATS_KEPT_MS):
        return after
    count, last = db.execute(_WINDOW, (after, MONITORS_PER_STEP)).fetchone()
    if not count:
        return None
    db.execute("DELETE FROM total WHERE span = ? AND start < ?", (HOUR, now_ms - HOURS_KEPT_MS))
    deleted = [
        db.execute(statement, {"cutoff": now_ms - kept, "first": after, "last": last, "limit": ROWS_PER_STEP}).rowcount
        for statement, kept in (
            (_OLD_HEARTBEATS, HEARTBEATS_KEPT_MS),
            (_OLD_MINUTES, MINUTES_KEPT_MS),
            (_OLD_HOURS, HOURS_KEPT_MS),
        )
    ]
    deleted.append(outages.remove_old(db, now_ms - OUTAGES_KEPT_MS, ROWS_PER_STEP))
    deleted.append(outbox.remove_old(db, now_ms, ROWS_PER_STEP))
    return after if max(deleted) == ROWS_PER_STEP else last


def _forget_doomed(db: Database) -> bool:
    """Delete some of the history of a removed monitor; False when there is none."""
    (number,) = db.execute("SELECT min(monitor) FROM doomed").fetchone()
    if number is None:
        return False
    values = {"monitor": number, "limit": ROWS_PER_STEP}
    keys = {"heartbeat": "at", **dict.fromkeys(TABLES.values(), "start")}
    deleted = [db.execute(_ALL_OF_ONE.format(table=table, key=key), values).rowcount for table, key in keys.items()]
    if max(deleted) < ROWS_PER_STEP:
        db.execute("DELETE FROM doomed WHERE monitor = ?", (number,))
    return True


def _move_old(db: Database, cutoff: int) -> bool:
    """Move one slice of the recent heartbeats that holds an old one; False when there is none."""
    row = db.execute(_OLD_SLICE, (heartbeats.SLICES, cutoff)).fetchone()
    if row is None:
        return False
    heartbeats.move(db, row[0], row[0])
    return True
