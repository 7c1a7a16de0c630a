"""The schema, as the steps that led to it. A step and the record of it are one transaction; steps are only ever added.

Times are integer milliseconds of UTC. SQLite stores the integers 0 and 1 without a byte of payload and small ones in one,
and NULL costs nothing either: what a heartbeat of a healthy monitor says is kept in that room (`heartbeats.py`).
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("peekaping")

_HEARTBEAT = """
    status INTEGER NOT NULL,  -- a code of heartbeats.py
    response INTEGER,         -- ms
    code INTEGER,             -- status code
    message TEXT,             -- NULL: the plain message of the code
    reason TEXT
"""
_COUNTS = """
    up INTEGER NOT NULL, down INTEGER NOT NULL, unknown INTEGER NOT NULL, paused INTEGER NOT NULL,  -- ms
    checks INTEGER NOT NULL, failures INTEGER NOT NULL, responses INTEGER NOT NULL, response_sum INTEGER NOT NULL
"""
_BUCKET = f"""
    monitor INTEGER NOT NULL,
    start INTEGER NOT NULL,
    {_COUNTS},
    response_min INTEGER, response_max INTEGER,
    sketch TEXT NOT NULL,     -- JSON: step to count
    PRIMARY KEY (monitor, start)
"""


@migrations()
def m001_monitors(db: Database) -> None:
    # AUTOINCREMENT: a number is never given twice, also not that of a monitor deleted before a restart.
    db.execute("""
        CREATE TABLE monitor (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            definition TEXT NOT NULL,  -- JSON
            created INTEGER NOT NULL,
            updated INTEGER NOT NULL,
            paused INTEGER NOT NULL DEFAULT 0,
            push_id TEXT UNIQUE
        )""")
    db.execute("CREATE TABLE doomed (monitor INTEGER PRIMARY KEY)")  # deleted, with history left to prune


@migrations()
def m002_history(db: Database) -> None:
    db.execute(f"""
        CREATE TABLE heartbeat (
            monitor INTEGER NOT NULL, at INTEGER NOT NULL, {_HEARTBEAT}, PRIMARY KEY (monitor, at)
        ) WITHOUT ROWID""")
    # The few that are transitions or changes by hand: their flags in the status are 16 and 8.
    db.execute("CREATE INDEX mark ON heartbeat (monitor, at, status) WHERE status >= 8")
    db.execute(f"""
        CREATE TABLE recent (
            slice INTEGER NOT NULL, at INTEGER NOT NULL, monitor INTEGER NOT NULL, {_HEARTBEAT},
            PRIMARY KEY (slice, at, monitor)
        ) WITHOUT ROWID""")
    for span in ("minute", "hour", "day"):
        db.execute(f"CREATE TABLE {span} ({_BUCKET}) WITHOUT ROWID")
    # The hours and days of all monitors added up: with 10,000 of them a week has 1.7 million hours.
    db.execute(f"""
        CREATE TABLE total (
            span INTEGER NOT NULL, start INTEGER NOT NULL, {_COUNTS}, PRIMARY KEY (span, start)
        ) WITHOUT ROWID""")


@migrations()
def m003_accounts(db: Database) -> None:
    db.execute("""
        CREATE TABLE user (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            email TEXT NOT NULL UNIQUE COLLATE NOCASE,
            name TEXT NOT NULL,
            password_hash TEXT NOT NULL,
            created INTEGER NOT NULL
        )""")
    db.execute("""
        CREATE TABLE session (
            id TEXT PRIMARY KEY,
            user INTEGER NOT NULL,
            address TEXT NOT NULL,  -- the network it was opened from
            refresh_hash BLOB NOT NULL,
            created INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            ended INTEGER
        ) WITHOUT ROWID""")
    db.execute("CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")


@migrations()
def m004_certificates(db: Database) -> None:
    # When a monitor's target was last changed: what was seen before says nothing of the one it has.
    db.execute("ALTER TABLE monitor ADD COLUMN target INTEGER NOT NULL DEFAULT 0")
    db.execute("""
        CREATE TABLE certificate (
            monitor INTEGER PRIMARY KEY,
            since INTEGER NOT NULL,
            details TEXT NOT NULL      -- JSON
        )""")
