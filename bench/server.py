"""The subject: `peekaping serve` as anybody starts it, on a database that holds its monitors already."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio

from bench.lab import Lab, Process, free_port, started
from peekaping.engine.monitor import Monitor
from peekaping.engine.probes import parse_monitor
from peekaping.store import monitors
from peekaping.store.database import Database

EMAIL, PASSWORD = "bench@example.com", "a password for the bench"
BEATS = """(
    SELECT monitor, at, response, code FROM heartbeat UNION SELECT monitor, at, response, code FROM recent
)"""
"""All heartbeats of a database, moved or not."""


class Server:
    """A server that runs."""

    def __init__(self, process: Process, url: str, database: Path, ready_s: float) -> None:
        self.process = process
        self.url = url
        self.database = database
        self.ready_s = ready_s
        """From its start to the line that says it serves."""

    def token(self) -> str:
        """An access token of the first user."""
        answer = httpx.post(f"{self.url}/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})
        token: str = answer.raise_for_status().json()["accessToken"]
        return token


@contextmanager
def serving(lab: Lab, database: Path, **environment: str) -> Iterator[Server]:
    """A server on the subject's core for the length of the block."""
    port = free_port()
    settings = {
        "PEEKAPING_HOST": "127.0.0.1",
        "PEEKAPING_PORT": str(port),
        "PEEKAPING_DATABASE": str(database),
        "PEEKAPING_MIN_INTERVAL_MS": "100",
        "PEEKAPING_ADMIN_EMAIL": EMAIL,
        "PEEKAPING_ADMIN_PASSWORD": PASSWORD,
        "PEEKAPING_RATE_LIMIT_PER_HOUR": "0",
        "PEEKAPING_RATE_LIMIT_PER_MINUTE": "0",
        "PEEKAPING_WS_PER_USER": "1000",
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PEEKAPING_")}
    command = [Path(sys.executable).with_name("peekaping"), "serve"]
    log = database.with_suffix(".log")
    began = time.monotonic()
    with started(command, lab.subject_core, log, environment={**clean, **settings, **environment}) as process:
        while line := process.line():
            if "stop with" in line:
                break
        else:
            raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
        yield Server(process, f"http://127.0.0.1:{port}", database, time.monotonic() - began)


def make_database(path: Path, definitions: Iterable[Monitor], push_ids: Iterable[str] = ()) -> Path:
    """A database with these monitors; push monitors get their ids in this order."""
    ids = iter(push_ids)

    async def fill() -> None:
        database = Database.open(path)
        await database.write(lambda db: [monitors.add(db, monitor, 0, next(ids, None)) for monitor in definitions])
        await database.close()

    trio.run(fill)
    return path


def pause_all(path: Path) -> None:
    """Let none of a database's monitors be checked."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE monitor SET paused = 1")


def http_monitors(count: int, url: str, interval_ms: int, **fields: Any) -> list[Monitor]:
    """So many plain monitors of one target, told apart by the query; `fields` as the API names them."""
    first = parse_monitor(
        {"type": "http", "name": "Monitor", "url": url, "interval": interval_ms, **fields}, min_interval_ms=100
    )
    replace: Any = msgspec.structs.replace  # the others' fields need no second look
    return [replace(first, name=f"Monitor {number}", url=f"{url}?{number}") for number in range(count)]


def query(database: Path, statement: str, *values: object) -> tuple[Any, ...]:
    """One row, after the server has ended."""
    with closing(sqlite3.connect(database)) as connection:
        row: tuple[Any, ...] = connection.execute(statement, values).fetchone()
        return row


def size_of(database: Path) -> int:
    """Bytes on disk, the journal included."""
    return sum(file.stat().st_size for file in (database, Path(f"{database}-wal")) if file.exists())
