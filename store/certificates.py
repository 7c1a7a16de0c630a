"""Certificates in SQLite: for each monitor the one that its target showed last, written only when it changes."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlite_utils import Database

from peekaping.engine.certificate import Certificate, SeenCertificate
from peekaping.engine.records import Heartbeat

# Batches may come again, and in any order; those of a monitor that was removed meanwhile end here.
_STORE = """
    INSERT INTO certificate (monitor, since, details)
    SELECT value ->> 0, value ->> 1, value -> 2 FROM json_each(?) WHERE value ->> 0 IN (SELECT number FROM monitor)
    ON CONFLICT DO UPDATE SET since = excluded.since, details = excluded.details WHERE excluded.since > since
"""
_decode = msgspec.json.Decoder(Certificate).decode


def encode(heartbeats: Iterable[Heartbeat]) -> str | None:
    """The certificates that a batch brings, as one JSON text; None when it brings none, as nearly all."""
    found = [(beat.monitor, beat.at, beat.certificate) for beat in heartbeats if beat.certificate is not None]
    return msgspec.json.encode(found).decode() if found else None


def store(db: Database, batch: str) -> None:
    """Store what `encode` made."""
    db.execute(_STORE, (batch,))


def remove(db: Database, number: int) -> None:
    db.execute("DELETE FROM certificate WHERE monitor = ?", (number,))


def load(db: Database) -> dict[int, SeenCertificate]:
    """All that are stored, by their monitors' numbers."""
    rows = db.execute("SELECT monitor, since, details FROM certificate")
    return {number: SeenCertificate(_decode(details), since) for number, since, details in rows}
