"""Notification channels in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec
from sqlite_utils import Database

from peekaping.engine.alerts.channel import Channel
from peekaping.engine.alerts.channels import decode_channel, encode_channel
from peekaping.engine.alerts.delivery import DISABLED, ChannelEntry
from peekaping.engine.alerts.settings import ChannelSettings
from peekaping.engine.errors import NameTaken
from peekaping.engine.records import Entry
from peekaping.store import monitors, outbox

_LOAD = "SELECT number, workspace, settings, unseal(config), created, updated FROM channel ORDER BY number"
_ADD = """
    INSERT INTO channel (workspace, settings, config, created, updated) VALUES (?, ?, seal(?), ?, ?) RETURNING number
"""
_REPLACE = "UPDATE channel SET settings = ?, config = seal(?), updated = ? WHERE number = ?"
_decode_settings = msgspec.json.Decoder(ChannelSettings).decode


def load(db: Database) -> list[ChannelEntry]:
    return [
        ChannelEntry(number, workspace, _decode_settings(settings), decode_channel(config), created, updated)
        for number, workspace, settings, config, created, updated in db.execute(_LOAD)
    ]


def add(db: Database, channel: Channel, settings: ChannelSettings, workspace: int, now_ms: int) -> ChannelEntry:
    values = (workspace, _encode(settings), encode_channel(channel), now_ms, now_ms)
    try:
        (number,) = db.execute(_ADD, values).fetchone()
    except sqlite3.IntegrityError as error:
        raise _name_taken(settings) from error
    return ChannelEntry(number, workspace, settings, channel, now_ms, now_ms)


def replace(db: Database, entry: ChannelEntry) -> None:
    values = (_encode(entry.settings), encode_channel(entry.channel), entry.updated_ms, entry.number)
    try:
        db.execute(_REPLACE, values)
    except sqlite3.IntegrityError as error:
        raise _name_taken(entry.settings) from error
    if not entry.settings.enabled:
        outbox.give_up(db, entry.number, DISABLED, entry.updated_ms)


def remove(db: Database, number: int, named_by: Iterable[Entry]) -> None:
    for entry in named_by:
        monitors.replace(db, entry)
    db.execute("DELETE FROM delivery WHERE channel = ?", (number,))
    db.execute("DELETE FROM channel WHERE number = ?", (number,))


def _encode(settings: ChannelSettings) -> str:
    return msgspec.json.encode(settings).decode()


def _name_taken(settings: ChannelSettings) -> NameTaken:
    return NameTaken(f"Another channel has the name {settings.name}")
