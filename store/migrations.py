"""The schema, as the steps that led to it. A step and the record of it are one transaction; steps are only ever added.

Times are integer milliseconds of UTC. SQLite stores the integers 0 and 1 without a byte of payload and small ones in one,
and NULL costs nothing either: what a heartbeat of a healthy monitor says is kept in that room (`heartbeats.py`).
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from peekaping.engine.clock import utc_ms

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


@migrations()
def m005_access(db: Database) -> None:
    db.execute("""
        CREATE TABLE workspace (
            id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE COLLATE NOCASE, created INTEGER NOT NULL
        )""")
    db.execute("INSERT INTO workspace VALUES (1, 'Default', 0)")
    # Whoever is there already could do everything.
    db.execute("ALTER TABLE user ADD COLUMN workspace INTEGER NOT NULL DEFAULT 1")
    db.execute("ALTER TABLE user ADD COLUMN role TEXT NOT NULL DEFAULT 'admin'")
    db.execute("ALTER TABLE user ADD COLUMN operator INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE user ADD COLUMN totp TEXT")  # sealed; the seed of one-time passwords
    # Of the last code that was taken; NULL: not switched on.
    db.execute("ALTER TABLE user ADD COLUMN totp_step INTEGER")
    db.execute("UPDATE user SET operator = 1 WHERE id = (SELECT min(id) FROM user)")
    db.execute("""
        CREATE TABLE recovery_code (
            user INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (user, hash)
        ) WITHOUT ROWID""")
    db.execute("""
        CREATE TABLE api_key (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            user INTEGER NOT NULL,
            name TEXT NOT NULL,
            prefix TEXT NOT NULL,      -- the part that is shown
            hash BLOB NOT NULL,
            scopes TEXT NOT NULL,      -- words
            created INTEGER NOT NULL,
            expires INTEGER,
            used INTEGER
        )""")
    db.execute("""
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            workspace INTEGER NOT NULL,
            at INTEGER NOT NULL,
            user INTEGER NOT NULL,
            email TEXT,                -- as it was then
            api_key INTEGER,
            address TEXT NOT NULL,
            action TEXT NOT NULL,
            target TEXT NOT NULL,
            status INTEGER             -- of the answer; NULL: there was none
        )""")
    db.execute("CREATE INDEX audit_of_workspace ON audit (workspace, id)")
    db.execute("CREATE INDEX audit_by_time ON audit (at)")
    db.execute("ALTER TABLE monitor ADD COLUMN workspace INTEGER NOT NULL DEFAULT 1")
    db.execute("ALTER TABLE total RENAME TO total_of_all")
    db.execute(f"""
        CREATE TABLE total (
            workspace INTEGER NOT NULL, span INTEGER NOT NULL, start INTEGER NOT NULL, {_COUNTS},
            PRIMARY KEY (span, start, workspace)
        ) WITHOUT ROWID""")
    db.execute("INSERT INTO total SELECT 1, * FROM total_of_all")
    db.execute("DROP TABLE total_of_all")
    # From here on sealed: see vault.py. The probe tells a wrong key before it does harm.
    db.execute("CREATE TABLE vault (probe TEXT NOT NULL)")
    db.execute("INSERT INTO vault VALUES (seal('probe'))")
    db.execute("UPDATE monitor SET definition = seal(definition)")
    db.execute("UPDATE setting SET value = seal(hex(value))")


@migrations()
def m006_alerts(db: Database) -> None:
    db.execute("""
        CREATE TABLE channel (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            workspace INTEGER NOT NULL,
            settings TEXT NOT NULL,    -- JSON
            config TEXT NOT NULL,      -- sealed; JSON
            created INTEGER NOT NULL,
            updated INTEGER NOT NULL
        )""")
    db.execute("CREATE UNIQUE INDEX channel_name ON channel (workspace, settings ->> 'name')")
    db.execute("""
        CREATE TABLE delivery (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            channel INTEGER NOT NULL,
            monitor INTEGER NOT NULL,
            key TEXT NOT NULL,
            event TEXT NOT NULL,
            message TEXT NOT NULL,     -- JSON
            created INTEGER NOT NULL,
            due INTEGER NOT NULL,
            tries INTEGER NOT NULL DEFAULT 0,
            first_tried INTEGER,
            bundle INTEGER,            -- the number of the first that is sent in the same message
            state TEXT NOT NULL,
            finished INTEGER,
            forget INTEGER,
            answer TEXT,
            UNIQUE (channel, key)
        )""")
    # What waits is little beside what was sent: its own indexes are small.
    db.execute("CREATE INDEX waiting ON delivery (channel, number) WHERE state = 'waiting'")
    db.execute("CREATE INDEX waiting_until ON delivery (channel, due) WHERE state = 'waiting'")
    db.execute("CREATE INDEX waiting_of_monitor ON delivery (channel, monitor, number, due) WHERE state = 'waiting'")
    db.execute("CREATE INDEX delivery_of_channel ON delivery (channel, number)")
    db.execute("CREATE INDEX delivery_of_monitor ON delivery (monitor) WHERE state = 'waiting'")
    db.execute("CREATE INDEX delivery_to_forget ON delivery (forget)")


@migrations()
def m007_pages(db: Database) -> None:
    db.execute("""
        CREATE TABLE status_page (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            workspace INTEGER NOT NULL,
            slug TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL,
            description TEXT NOT NULL,
            published INTEGER NOT NULL,
            created INTEGER NOT NULL,
            updated INTEGER NOT NULL
        )""")
    db.execute("""
        CREATE TABLE status_page_monitor (
            page INTEGER NOT NULL, place INTEGER NOT NULL, monitor INTEGER NOT NULL, PRIMARY KEY (page, place)
        ) WITHOUT ROWID""")
    db.execute("CREATE INDEX pages_of_monitor ON status_page_monitor (monitor)")
    db.execute("""
        CREATE TABLE incident (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            workspace INTEGER NOT NULL,
            title TEXT,                -- NULL: nobody gave it one
            status TEXT NOT NULL,
            started INTEGER NOT NULL,
            ended INTEGER,
            opened_by INTEGER,         -- the monitor whose transition did; NULL: somebody by hand
            UNIQUE (opened_by, started)
        )""")
    db.execute("CREATE INDEX outages_by_end ON incident (ended) WHERE opened_by IS NOT NULL")
    db.execute("CREATE INDEX incidents_of_workspace ON incident (workspace, started)")
    db.execute("""
        CREATE TABLE incident_monitor (
            incident INTEGER NOT NULL, monitor INTEGER NOT NULL, PRIMARY KEY (incident, monitor)
        ) WITHOUT ROWID""")
    db.execute("CREATE INDEX incidents_of_monitor ON incident_monitor (monitor)")
    db.execute("""
        CREATE TABLE incident_update (
            number INTEGER PRIMARY KEY,
            incident INTEGER NOT NULL,
            at INTEGER NOT NULL,
            status TEXT NOT NULL,
            message TEXT NOT NULL
        )""")
    db.execute("CREATE INDEX updates_of_incident ON incident_update (incident, at)")
    keep_outages(db)


@migrations()
def m008_first_workspace(db: Database) -> None:
    # m005 gave it no time. It is as old as the first user, whom the first start makes, or was made just now.
    db.execute(
        "UPDATE workspace SET created = (SELECT ifnull(min(created), ?) FROM user) WHERE id = 1 AND created = 0",
        (utc_ms(),),
    )


def keep_outages(db: Database) -> None:
    """Note the outages of the history that is kept already. 16 and 17 are transitions to down and to up (`heartbeats.py`)."""
    db.execute("""
        INSERT INTO incident (workspace, status, started, ended, opened_by)
        SELECT workspace, iif(ended IS NULL, 'investigating', 'resolved'), at, ended, monitor
        FROM (
            SELECT workspace, monitor, at, status, lead(at) OVER (PARTITION BY monitor ORDER BY at) AS ended
            FROM (
                SELECT monitor, at, status FROM heartbeat WHERE status >= 8 AND status IN (16, 17)
                UNION SELECT monitor, at, status FROM recent WHERE status IN (16, 17)
            ) JOIN monitor ON number = monitor
        ) WHERE status = 16""")
