"""Monitors as JSON texts, a hundred to a page, and most of them as they were when they were last looked at.

What a user has set is encoded when it was changed, what a check has found when there was one, and all of it is kept as one text,
so that a look costs a copy. Made anew each time, a page of a hundred cost four times what an empty answer does.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from peekaping.api.shapes import CertificateShape, certificate_shape
from peekaping.engine.monitor import fields_of
from peekaping.engine.records import Entry, Heartbeat, Snapshot, State, Status, iso
from peekaping.engine.secrets import MASK

MOST_KEPT = 10_000
"""Texts, of less than a kilobyte as a rule. Then they are made anew as they are asked for."""


class _Found(Struct, rename="camel", gc=False):
    """What the checks have found."""

    status: Status
    last_check: str | None
    last_message: str | None
    response_time: int | None
    certificate: CertificateShape | None


class _Text(NamedTuple):
    """A text without its end, and what it is made of: values that are never changed, so that the same ones make the same text."""

    entry: Entry
    state: State
    last: Heartbeat | None
    text: bytes
    found_from: int
    found_to: int
    """Where in it `_Found` is."""


class MonitorTexts:
    """The texts of one engine's monitors."""

    def __init__(self) -> None:
        self._kept: dict[int, _Text] = {}

    def of(self, snapshot: Snapshot, *, shows_push_id: bool) -> Raw:
        """A monitor as JSON; its push id only for those who may write, since with it one reports for the monitor."""
        entry, state, last, certificate, _ = snapshot
        kept = self._kept.get(entry.number)
        if kept is None or kept.entry is not entry:
            text = self._keep(snapshot, _set_by_users(entry), _dates(entry))
        elif kept.state is not state or kept.last is not last or certificate is not None:  # whose days are as of now
            text = self._keep(snapshot, kept.text[: kept.found_from], kept.text[kept.found_to :])
        else:
            text = kept.text
        if entry.push_id is None:
            return Raw(text + b"}")
        return Raw(b'%b,"pushId":%b}' % (text, _encoded(entry.push_id if shows_push_id else MASK)))

    def _keep(self, snapshot: Snapshot, before: bytes, after: bytes) -> bytes:
        entry, state, last, certificate, _ = snapshot
        found = _encoded(
            _Found(
                state.status,
                iso(last.at) if last is not None and last.is_check else None,
                last.message if last is not None else None,
                last.response_ms if last is not None else None,
                certificate_shape(certificate) if certificate is not None else None,
            )
        )[1:-1]
        text = before + found + after
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[entry.number] = _Text(entry, state, last, text, len(before), len(before) + len(found))
        return text


_encoded = msgspec.json.Encoder().encode


def _set_by_users(entry: Entry) -> bytes:
    return _encoded({"id": entry.id, **fields_of(entry.monitor)})[:-1] + b","


def _dates(entry: Entry) -> bytes:
    return b',"createdAt":"%b","updatedAt":"%b"' % (iso(entry.created_ms).encode(), iso(entry.updated_ms).encode())
