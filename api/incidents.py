"""/incidents: trouble that people tell of, and trouble that monitors found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, TypedDict

from msgspec import UNSET, Meta, Struct, UnsetType
from quart import Blueprint, Response

from peekaping.api import gate
from peekaping.api.bodies import json_object, query, read
from peekaping.api.describe import READ, WRITE, described
from peekaping.api.errors import ApiError
from peekaping.api.incident_rules import (
    INVALID,
    IncidentChanges,
    IncidentStatus,
    Message,
    NewIncident,
    changed,
    settled,
)
from peekaping.api.listing import Listing
from peekaping.api.references import monitor_numbers, snapshot_of
from peekaping.api.shapes import PaginationShape, Time, nothing, reply
from peekaping.engine.engine import Engine
from peekaping.engine.kept import Kept
from peekaping.engine.records import iso, monitor_id, number_in
from peekaping.store.incidents import Incident, Incidents

SHOWN_ONLY = ("id", "automatic", "updates")
"""Left out of changes."""

MOST_KEPT = 20
"""Pages of the list."""


class NewUpdate(Struct):
    message: Message
    status: IncidentStatus | UnsetType = UNSET
    """Left out, the incident's stays."""


class Asked(Listing):
    monitor: str | None = None
    resolved: bool | None = None


class UpdateShape(TypedDict):
    status: IncidentStatus
    message: str
    timestamp: Time


class IncidentShape(TypedDict):
    id: str
    title: str
    status: IncidentStatus
    startTime: Time
    endTime: Time | None
    monitors: list[str]
    automatic: Annotated[bool, Meta(description="opened by a monitor's transition, and resolved by its next")]
    updates: list[UpdateShape]


class IncidentsShape(TypedDict):
    incidents: list[IncidentShape]
    pagination: PaginationShape


def routes(engine: Engine, incidents: Incidents, utc_ms: Callable[[], int]) -> Blueprint:
    blueprint = Blueprint("incidents", __name__)
    shape = partial(incident_shape, engine)
    kept: Kept[object, tuple[int, list[Incident]]] = Kept(MOST_KEPT)

    @blueprint.get("/incidents")
    @described("List the incidents", needs=READ, query=Asked, answers={200: IncidentsShape})
    async def show_all() -> Response:
        """Newest first; of one monitor, and only those that last or that are over, where it is asked for."""
        asked, workspace = query(Asked), gate.identity().workspace
        monitors = None
        if asked.monitor is not None:
            monitors = monitor_numbers(engine, workspace, [asked.monitor], "Invalid query", field="monitor")
        # While nothing was written that incidents could have changed by, they are those that they were.
        total, found = await kept.get(
            (incidents.revision, workspace, monitors, asked.resolved, asked.first, asked.limit),
            partial(
                incidents.page,
                workspace,
                monitors=monitors,
                is_over=asked.resolved,
                first=asked.first,
                limit=asked.limit,
            ),
        )
        return reply({"incidents": [shape(incident) for incident in found], "pagination": asked.pages(total)})

    @blueprint.post("/incidents")
    @described("Open an incident", needs=WRITE, body=NewIncident, answers={201: IncidentShape})
    async def create() -> Response:
        body, workspace = read(NewIncident, await json_object(), INVALID), gate.identity().workspace
        numbers, now = monitor_numbers(engine, workspace, body.monitors, INVALID), utc_ms()
        start = now if body.start_time is None else body.start_time
        incident = settled(Incident(body.title, body.status, start, body.end_time, numbers), now)
        return reply(shape(await incidents.add(workspace, incident)), 201)

    @blueprint.get("/incidents/<id>")
    @described("Show an incident", needs=READ, answers={200: IncidentShape})
    async def show(id: str) -> Response:
        return reply(shape(_found(id, await incidents.get(gate.identity().workspace, _number(id)))))

    @blueprint.route("/incidents/<id>", methods=["PUT", "PATCH"])
    @described("Change an incident", needs=WRITE, body=IncidentChanges, answers={200: IncidentShape})
    async def change(id: str) -> Response:
        """Of an incident that a monitor opened the title and, while it lasts, the status can be changed."""
        body = read(IncidentChanges, await json_object(without=SHOWN_ONLY), INVALID)
        workspace = gate.identity().workspace
        numbers = UNSET if body.monitors is UNSET else monitor_numbers(engine, workspace, body.monitors, INVALID)
        before = _found(id, await incidents.get(workspace, _number(id)))
        if body.title == title_of(engine, before):  # one that nobody gave it goes on following the monitor's name
            body.title = UNSET
        rule = partial(changed, changes=body, monitors=numbers, now=utc_ms())
        return reply(shape(_found(id, await incidents.change(workspace, _number(id), rule))))

    @blueprint.post("/incidents/<id>/updates")
    @described("Say how an incident goes on", needs=WRITE, body=NewUpdate, answers={201: IncidentShape})
    async def update(id: str) -> Response:
        body, now = read(NewUpdate, await json_object(), "Invalid update"), utc_ms()
        rule = partial(changed, changes=IncidentChanges(status=body.status), monitors=UNSET, now=now)
        workspace = gate.identity().workspace
        return reply(shape(_found(id, await incidents.change(workspace, _number(id), rule, (now, body.message)))), 201)

    @blueprint.delete("/incidents/<id>")
    @described("Delete an incident", needs=WRITE, answers={204: None}, errors=(409,))
    async def delete(id: str) -> Response:
        workspace = gate.identity().workspace
        if _found(id, await incidents.get(workspace, _number(id))).opened_by is not None:
            raise ApiError(409, "A monitor opened this incident: it is part of its history, and goes with it")
        await incidents.remove(workspace, _number(id))
        return nothing()

    return blueprint


def incident_shape(engine: Engine, incident: Incident) -> IncidentShape:
    return {
        "id": f"incident-{incident.number}",
        "title": title_of(engine, incident),
        "status": IncidentStatus(incident.status),
        "startTime": iso(incident.start),
        "endTime": None if incident.end is None else iso(incident.end),
        "monitors": [monitor_id(number) for number in incident.monitors],
        "automatic": incident.opened_by is not None,
        "updates": updates_shape(incident),
    }


def updates_shape(incident: Incident) -> list[UpdateShape]:
    return [
        {"status": IncidentStatus(update.status), "message": update.message, "timestamp": iso(update.at)}
        for update in incident.updates
    ]


def title_of(engine: Engine, incident: Incident) -> str:
    """Its own; without one, what the monitor that opened it is called now."""
    if incident.title is not None or incident.opened_by is None:
        return incident.title or ""
    snapshot = snapshot_of(engine, incident.opened_by)
    return f"{monitor_id(incident.opened_by) if snapshot is None else snapshot.entry.monitor.name} is down"


def _number(id: str) -> int:
    return number_in(id, "incident") or 0


def _found(id: str, incident: Incident | None) -> Incident:
    if incident is None:
        raise ApiError(404, f"There is no incident {id[:40]}")
    return incident
