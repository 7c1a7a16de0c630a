"""Heartbeats in SQLite: how one becomes a row, and the statements of the hot path.

Two tables hold them. `heartbeat` is ordered by (monitor, at), as they are read. Written there at once, a batch would dirty a
page for each of its monitors: with 10,000 of them 4 kB of log for 25 bytes of heartbeat, and 90,000 heartbeats a second at
most. So a batch goes to the ends of `recent`, which is ordered by time within `SLICES` slices of the monitors, and after
every `PER_MOVE` heartbeats one slice moves on, with many rows for each page: twice as fast.
Readers look at both. A row that is in both (its batch was stored again after its slice had moved) is one to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlite_utils import Database

from peekaping.engine.records import Heartbeat, Status, plain_message
from peekaping.engine.restore import UNSETTLED

SLICES = 16
"""More dirty more pages with each batch; fewer make each move longer (30 ms) and reading a slice slower (1 ms)."""
RECENT = 1 << 18
"""About how many heartbeats wait in `recent`: 7 MB. More make moves cheaper, and the move of all at a start longer (0.3 s)."""
PER_MOVE = RECENT // SLICES

# The `status` column: a status' place here, plus flags. UP, the usual one, is 1, which SQLite stores in no byte at all.
_STATUSES = (Status.DOWN, Status.UP, Status.PENDING, Status.UNKNOWN, Status.PAUSED)
_BY_HAND = 8
_TRANSITION = 16
_MEANINGS = {
    place + (_TRANSITION if transition else 0) + (0 if is_check else _BY_HAND): (status, transition, is_check)
    for place, status in enumerate(_STATUSES)
    for transition in (False, True)
    for is_check in (False, True)
}
_CODES = {meaning: code for code, meaning in _MEANINGS.items()}
_UNSETTLED = [code for code, (status, _, is_check) in _MEANINGS.items() if is_check and status in UNSETTLED]

# Conditions on `status`. The first half of two of them names the index `mark`: SQLite does not see that 16 is more than 8.
IS_TRANSITION = f"status >= {_BY_HAND} AND status >= {_TRANSITION}"
IS_BY_HAND = f"status >= {_BY_HAND} AND status & {_BY_HAND}"
IS_CHECK = f"status & {_BY_HAND} = 0"
SETTLES = f"status NOT IN ({', '.join(map(str, _UNSETTLED))})"  # `engine.restore.settles`

RESPONSE_DIGITS = 10
LONGEST_RESPONSE_MS = 10**RESPONSE_DIGITS - 1
"""115 days; whoever pushes a longer one finds it cut to this."""

COLUMNS = "monitor, at, status, response, code, message, reason"

# A line of `encode`: numbers of fixed width, blanks for none, and where there is something in words a JSON array of it.
_LINE = f"%2d%13d%10d%2d%{RESPONSE_DIGITS}s%5s"
_WORDS = 43
_APPEND = f"""
    INSERT OR IGNORE INTO recent (slice, at, monitor, status, response, code, message, reason)
    SELECT
        CAST(substr(value, 1, 2) AS INTEGER),
        CAST(substr(value, 3, 13) AS INTEGER),
        CAST(substr(value, 16, 10) AS INTEGER),
        CAST(substr(value, 26, 2) AS INTEGER),
        CAST(nullif(substr(value, 28, {RESPONSE_DIGITS}), printf('%{RESPONSE_DIGITS}s', '')) AS INTEGER),
        CAST(nullif(substr(value, 38, 5), '     ') AS INTEGER),
        iif(length(value) < {_WORDS}, NULL, substr(value, {_WORDS}) ->> 0),
        iif(length(value) < {_WORDS}, NULL, substr(value, {_WORDS}) ->> 1)
    FROM json_each(?)
"""
# Heartbeats of a monitor that was removed meanwhile end here.
_MOVE = f"""
    INSERT OR IGNORE INTO heartbeat ({COLUMNS})
    SELECT {COLUMNS} FROM recent WHERE slice BETWEEN ? AND ? AND monitor IN (SELECT number FROM monitor)
    ORDER BY monitor, at
"""
# Both halves come in the order asked for, so that SQLite merges them and stops at the limit.
_NEWEST = f"""
    SELECT {COLUMNS} FROM heartbeat
    WHERE monitor = :monitor AND at >= :start AND at < :end AND EXISTS (SELECT 1 FROM monitor WHERE number = :monitor)
    UNION
    SELECT {COLUMNS} FROM recent
    WHERE slice = :slice AND at >= :start AND at < :end AND monitor = :monitor
    AND EXISTS (SELECT 1 FROM monitor WHERE number = :monitor)
    ORDER BY at DESC LIMIT :limit
"""
_LARGEST = (1 << 63) - 1


def encode(heartbeats: Iterable[Heartbeat]) -> str:
    """A batch as one JSON text, for SQLite to take apart in one statement, without the interpreter's lock.

    One statement a row would ask for that lock at each row, and beside a busy event loop wait for it each time: measured,
    1,400 rows a second instead of 40,000 or more. Of a line SQLite cuts 700,000 a second, of an array of numbers 430,000.
    """
    lines = [_line(heartbeat) for heartbeat in heartbeats]
    lines.sort()  # as the table is, so that neighbours are written together
    return msgspec.json.encode(lines).decode()


def _line(heartbeat: Heartbeat) -> str:
    monitor, response, status_code = heartbeat.monitor, heartbeat.response_ms, heartbeat.status_code
    message, reason = heartbeat.message, heartbeat.reason
    line = _LINE % (
        monitor % SLICES,
        heartbeat.at,
        monitor,
        _CODES[heartbeat.status, heartbeat.transition, heartbeat.is_check],
        "" if response is None else min(response, LONGEST_RESPONSE_MS),
        "" if status_code is None else status_code,
    )
    is_plain = message == plain_message(status_code)
    if is_plain and reason is None:
        return line
    return line + msgspec.json.encode((None if is_plain else _storable(message), reason)).decode()


def _storable(text: str) -> str:
    """The text without what would end it early (NUL) or make its whole batch impossible to store (half a surrogate pair)."""
    return text.encode(errors="replace").decode().replace("\0", "\N{SYMBOL FOR NULL}")


def decode(row: Sequence[Any]) -> Heartbeat:
    monitor, at, code, response, status_code, message, reason = row
    status, transition, is_check = _MEANINGS[code]
    return Heartbeat(
        monitor=monitor,
        at=at,
        status=status,
        message=plain_message(status_code) if message is None else message,
        reason=reason,
        response_ms=response,
        status_code=status_code,
        transition=transition,
        is_check=is_check,
    )


def decode_status(code: int | None) -> Status | None:
    return None if code is None else _MEANINGS[code][0]


def append(db: Database, batch: str) -> None:
    """Store what `encode` made."""
    db.execute(_APPEND, (batch,))


def move(db: Database, first: int = 0, last: int = _LARGEST) -> None:
    """Move these slices of the recent heartbeats, by default all, to where they stay."""
    db.execute(_MOVE, (first, last))
    db.execute("DELETE FROM recent WHERE slice BETWEEN ? AND ?", (first, last))


def newest(db: Database, number: int, from_ms: int | None, to_ms: int | None, limit: int) -> list[Heartbeat]:
    rows = db.execute(
        _NEWEST,
        {
            "monitor": number,
            "slice": number % SLICES,
            "start": -_LARGEST if from_ms is None else from_ms,
            "end": _LARGEST if to_ms is None else to_ms,
            "limit": limit,
        },
    )
    return [decode(row) for row in rows]
