"""A monitor's stored heartbeats as one file, CSV or JSON, however many there are.

They are read `ROWS` at a time, and the next are read when the client has taken those before: memory does not grow with the
file, and a client that goes away ends the reading. A file that breaks off (the database failed, the monitor was deleted, the
server stopped) is a connection that breaks off, in the middle of a chunked answer, so that nobody takes it for whole.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec
from quart import Blueprint, Response

from peekaping.api.bodies import query
from peekaping.api.describe import READ, described
from peekaping.api.heartbeats import HistoryShape, Span
from peekaping.api.shapes import heartbeat_shape
from peekaping.engine.engine import Engine
from peekaping.engine.errors import NoSuchMonitor
from peekaping.engine.records import Heartbeat

ROWS = 1000
COLUMNS = ("timestamp", "status", "responseTime", "statusCode", "reason", "message")
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""What a cell begins with that a spreadsheet may take for a formula (OWASP, CSV injection)."""


def routes(engine: Engine) -> Blueprint:
    blueprint = Blueprint("export", __name__)

    @blueprint.get("/monitors/<id>/heartbeats.csv")
    @described("Export a monitor's heartbeats as CSV", needs=READ, query=Span, answers={200: "text/csv"})
    async def as_csv(id: str) -> Response:
        """All there are, newest first. A text that a spreadsheet could take for a formula has an apostrophe before it."""
        asked = query(Span)
        # Read before the answer begins, so that an error still can be the answer.
        first = await _read(engine, id, asked, asked.to_ms)
        return _file(_csv(engine, id, asked, first), "text/csv; charset=utf-8", f"{id}.csv")

    @blueprint.get("/monitors/<id>/heartbeats.json")
    @described("Export a monitor's heartbeats as JSON", needs=READ, query=Span, answers={200: HistoryShape})
    async def as_json(id: str) -> Response:
        """All there are, newest first."""
        asked = query(Span)
        first = await _read(engine, id, asked, asked.to_ms)
        return _file(_json(engine, id, asked, first), "application/json", f"{id}.json")

    return blueprint


def _file(parts: AsyncIterator[bytes], content_type: str, name: str) -> Response:
    response = Response(parts, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def _read(engine: Engine, id: str, asked: Span, to_ms: int | None) -> list[Heartbeat]:
    return await engine.heartbeats(id, from_ms=asked.from_ms, to_ms=to_ms, limit=ROWS)


async def _next(engine: Engine, id: str, asked: Span, last: Heartbeat) -> list[Heartbeat]:
    """What comes after `last`, which is read again: where it is gone the monitor is being deleted, and nothing is the end."""
    again = await _read(engine, id, asked, last.at + 1)
    if not again:
        raise NoSuchMonitor("The monitor was deleted meanwhile")
    return again[1:]


async def _csv(engine: Engine, id: str, asked: Span, found: list[Heartbeat]) -> AsyncIterator[bytes]:
    yield _lines([COLUMNS])
    while found:
        yield _lines([_cells(heartbeat) for heartbeat in found])
        found = await _next(engine, id, asked, found[-1])


async def _json(engine: Engine, id: str, asked: Span, found: list[Heartbeat]) -> AsyncIterator[bytes]:
    yield b'{"heartbeats":['
    comma = b""
    while found:
        yield comma + msgspec.json.encode([heartbeat_shape(heartbeat) for heartbeat in found])[1:-1]
        comma = b","
        found = await _next(engine, id, asked, found[-1])
    yield b"]}"


def _cells(heartbeat: Heartbeat) -> list[object]:
    shape = heartbeat_shape(heartbeat)
    cells: list[object] = [shape["timestamp"], shape["status"].value, shape["responseTime"], shape["statusCode"]]
    return [*cells, _harmless(shape["reason"] or ""), _harmless(shape["message"])]


def _harmless(text: str) -> str:
    """A target may write into its messages what a spreadsheet would run."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _lines(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
