"""/audit-log: who changed what, when, from where."""

from __future__ import annotations

from typing import TypedDict

from quart import Blueprint, Response

from peekaping.api import gate
from peekaping.api.bodies import query
from peekaping.api.describe import ADMIN, described
from peekaping.api.listing import Listing
from peekaping.api.shapes import PaginationShape, Time, reply
from peekaping.engine.records import iso
from peekaping.store.audit import AuditEntry, AuditLog


class WhoShape(TypedDict):
    id: str
    email: str | None


class AuditEntryShape(TypedDict):
    id: str
    timestamp: Time
    user: WhoShape
    apiKey: str | None
    address: str
    action: str
    target: str
    status: int | None


class AuditLogShape(TypedDict):
    entries: list[AuditEntryShape]
    pagination: PaginationShape


def routes(audit_log: AuditLog) -> Blueprint:
    blueprint = Blueprint("audit", __name__)

    @blueprint.get("/audit-log")
    @described("Read the audit log", needs=ADMIN, query=Listing, answers={200: AuditLogShape})
    async def show_all() -> Response:
        """Every change that a user or an API key of the workspace asked for, and every login, newest first; kept for a year."""
        asked = query(Listing)
        total, entries = await audit_log.page(gate.identity().workspace, first=asked.first, limit=asked.limit)
        return reply({"entries": [_shape(entry) for entry in entries], "pagination": asked.pages(total)})

    return blueprint


def _shape(entry: AuditEntry) -> AuditEntryShape:
    return {
        "id": f"audit-{entry.id}",
        "timestamp": iso(entry.at),
        "user": {"id": f"user-{entry.user}", "email": entry.email},
        "apiKey": None if entry.api_key is None else f"key-{entry.api_key}",
        "address": entry.address,
        "action": entry.action,
        "target": entry.target,
        "status": entry.status,
    }
