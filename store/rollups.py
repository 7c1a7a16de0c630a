"""Minutes, hours and days in SQLite, and the tails from which the statistics go on after a start.

Everything is added up inside SQLite, sketches too: a Python function called for each row would wait for the interpreter's
lock as often, beside a busy event loop for seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
from sqlite_utils import Database

from peekaping.engine.accounting import DAY, HOUR, MINUTE, Bucket
from peekaping.engine.ports import Tail
from peekaping.engine.sketch import Sketch
from peekaping.store import heartbeats

TABLES = {MINUTE: "minute", HOUR: "hour", DAY: "day"}

_COUNTS = ("up", "down", "unknown", "paused", "checks", "failures", "responses", "response_sum")
_EXTREMES = ("response_min", "response_max")
_FIELDS = ("monitor", "start", *_COUNTS, *_EXTREMES, "sketch")
_COLUMNS = ", ".join(_FIELDS)
_row_of = attrgetter(*_FIELDS)
_decode_sketch = msgspec.json.Decoder(Sketch).decode

# The minutes of a batch that are newer than what their monitor had, taken out of JSON once for all statements.
_FRESH = f"CREATE TEMP TABLE IF NOT EXISTS fresh ({_COLUMNS}, workspace)"
_FILL = f"""
    INSERT INTO fresh
    SELECT {", ".join(f"value ->> {place}" for place in range(len(_FIELDS)))}, workspace
    FROM json_each(?) JOIN monitor ON number = value ->> 0
    WHERE value ->> 1 > ifnull((SELECT max(start) FROM minute WHERE monitor = number), -1)
"""
_STORE = f"INSERT INTO minute ({_COLUMNS}) SELECT {_COLUMNS} FROM fresh"
_ADD = f"""
    INSERT INTO {{table}} AS old ({_COLUMNS})
    SELECT monitor, start - start % {{span}}, {", ".join(_FIELDS[2:])} FROM fresh WHERE true
    ON CONFLICT DO UPDATE SET
        {", ".join(f"{name} = {name} + excluded.{name}" for name in _COUNTS)},
        response_min = min(ifnull(response_min, excluded.response_min), ifnull(excluded.response_min, response_min)),
        response_max = max(ifnull(response_max, excluded.response_max), ifnull(excluded.response_max, response_max)),
        sketch = (
            SELECT json_group_object(key, count) FROM (
                SELECT key, sum(value) AS count
                FROM (SELECT key, value FROM json_each(old.sketch) UNION ALL SELECT key, value FROM json_each(excluded.sketch))
                GROUP BY key
            )
        )
"""
_SUM = f"""
    INSERT INTO total (workspace, span, start, {", ".join(_COUNTS)})
    SELECT workspace, {{span}}, start - start % {{span}}, {", ".join(f"sum({name})" for name in _COUNTS)}
    FROM fresh GROUP BY 1, 3
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _COUNTS)}
"""
_SUBTRACT = f"""
    INSERT INTO total (workspace, span, start, {", ".join(_COUNTS)})
    SELECT owner, {{span}}, start, {", ".join(f"-{name}" for name in _COUNTS)}
    FROM {{table}} JOIN (SELECT number, workspace AS owner FROM monitor) ON number = monitor
    WHERE monitor = ? AND start IN (SELECT start FROM total WHERE span = {{span}} AND workspace = owner)
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _COUNTS)}
"""
_OF_ONE = f"""
    SELECT {_COLUMNS} FROM {{table}}
    WHERE monitor = ? AND start >= ? AND start < ? AND monitor IN (SELECT number FROM monitor) ORDER BY start
"""
_OF_SEVERAL = """
    FROM {table} WHERE monitor IN (SELECT number FROM monitor WHERE number IN (SELECT value FROM json_each(?)))
    AND start >= ? AND start < ?
"""
_SUMS = f"SELECT monitor, {', '.join(f'sum({name})' for name in _COUNTS)} {_OF_SEVERAL} GROUP BY monitor"
_DAYS = f"SELECT monitor, start, {', '.join(_COUNTS)} {_OF_SEVERAL.format(table=TABLES[DAY])}"
_TOTAL = f"""
    SELECT {", ".join(f"ifnull(sum({name}), 0)" for name in _COUNTS)} FROM total
    WHERE span = ? AND start >= ? AND start < ? AND workspace = ifnull(?, workspace)
"""

_MARKS = """
    SELECT value, (SELECT max(start) FROM minute WHERE monitor = value) FROM json_each(?)
    WHERE value IN (SELECT number FROM monitor)
"""
_AFTER = f"""
    SELECT {heartbeats.COLUMNS} FROM json_each(?) JOIN heartbeat ON monitor = value ->> 0
    AND at >= ifnull((SELECT max(at) FROM heartbeat WHERE monitor = value ->> 0 AND at < value ->> 1), 0)
    ORDER BY monitor, at
"""
_CONFIRMED = f"""
    SELECT value ->> 0, (
        SELECT status FROM heartbeat WHERE monitor = value ->> 0 AND {heartbeats.IS_TRANSITION} AND at < value ->> 1
        ORDER BY at DESC LIMIT 1
    ) FROM json_each(?)
"""


def encode(buckets: Sequence[Bucket]) -> str:
    """A batch of minutes as one JSON text, in the tables' order, each minute once."""
    rows: dict[tuple[int, int], Any] = {(bucket.monitor, bucket.start): _row_of(bucket) for bucket in buckets}
    return msgspec.json.encode([rows[key] for key in sorted(rows)]).decode()


def roll_up(db: Database, batch: str) -> None:
    """Store what `encode` made, and add it to its hours and days."""
    db.execute(_FRESH)
    db.execute(_FILL, (batch,))
    for span in (HOUR, DAY):
        db.execute(_ADD.format(table=TABLES[span], span=span))
        db.execute(_SUM.format(span=span))
    db.execute(_STORE)
    db.execute("DELETE FROM fresh")


def within(db: Database, number: int, span: int, from_ms: int, to_ms: int) -> list[Bucket]:
    """A monitor's buckets of a span, oldest first."""
    rows = db.execute(_OF_ONE.format(table=TABLES[span]), (number, from_ms, to_ms))
    return list(map(_bucket, rows))


def subtract(db: Database, number: int) -> None:
    """Take a monitor out of the totals, before it is removed."""
    for span in (HOUR, DAY):
        db.execute(_SUBTRACT.format(table=TABLES[span], span=span), (number,))


def sums(db: Database, numbers: Sequence[int], span: int, from_ms: int, to_ms: int) -> list[Bucket]:
    """The counts of each of these monitors."""
    rows = db.execute(_SUMS.format(table=TABLES[span]), (_json(numbers), from_ms, to_ms))
    found = {number: dict(zip(_COUNTS, counts, strict=True)) for number, *counts in rows}
    return [Bucket(monitor=number, start=from_ms, **found.get(number, {})) for number in numbers]


def days(db: Database, numbers: Sequence[int], from_ms: int, to_ms: int) -> list[Bucket]:
    """The counts of each day of each of these monitors."""
    rows = db.execute(_DAYS, (_json(numbers), from_ms, to_ms))
    return [
        Bucket(monitor=monitor, start=start, **dict(zip(_COUNTS, counts, strict=True)))
        for monitor, start, *counts in rows
    ]


def totals(db: Database, span: int, from_ms: int, to_ms: int, workspace: int | None = None) -> Bucket:
    """The counts of a span of all monitors, or of all in a workspace, in one."""
    counts = db.execute(_TOTAL, (span, from_ms, to_ms, workspace)).fetchone()
    return Bucket(monitor=0, start=from_ms, **dict(zip(_COUNTS, counts, strict=True)))


def tails(db: Database, numbers: Sequence[int]) -> list[Tail]:
    """What follows each monitor's newest minute, in three statements for all and two to move the recent heartbeats."""
    heartbeats.move(db)
    newest = db.execute(_MARKS, (_json(numbers),))
    marks = {number: None if start is None else start + MINUTE for number, start in newest}
    rows = map(heartbeats.decode, db.execute(_AFTER, (_json(list(marks.items())),)))
    found = {number: list(run) for number, run in groupby(rows, key=attrgetter("monitor"))}
    firsts = [(number, run[0].at) for number, run in found.items()]
    confirmed = dict(db.execute(_CONFIRMED, (_json(firsts),)))
    return [
        Tail(number, marks.get(number), heartbeats.decode_status(confirmed.get(number)), found.get(number, []))
        for number in numbers
    ]


def _bucket(row: Sequence[Any]) -> Bucket:
    # Field by field: a day has 1440 of these, and through a dictionary each took four times as long.
    monitor, start, up, down, unknown, paused, checks, failures, responses, response_sum, low, high, sketch = row
    return Bucket(
        monitor=monitor, start=start, up=up, down=down, unknown=unknown, paused=paused, checks=checks, failures=failures,
        responses=responses, response_sum=response_sum, response_min=low, response_max=high, sketch=_decode_sketch(sketch),
    )  # fmt: skip


def _json(values: Sequence[object]) -> str:
    return msgspec.json.encode(values).decode()
