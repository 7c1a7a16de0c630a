"""/monitors: list, create, show, change, delete, pause, resume."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from quart import Blueprint, Response

from peekaping.api import gate
from peekaping.api.bodies import Page, PageLimit, json_object, query
from peekaping.api.describe import READ, WRITE, described
from peekaping.api.errors import ApiError
from peekaping.api.identity import refusal
from peekaping.api.monitor_models import MonitorChanges, MonitorShape, MonitorsShape, MonitorType, NewMonitor
from peekaping.api.shapes import SHOWN_ONLY, monitor_shape, nothing, pagination, reply
from peekaping.engine.engine import Engine
from peekaping.engine.probes import KINDS
from peekaping.engine.records import Snapshot, Status
from peekaping.engine.secrets import MASK


class Listing(Struct):
    page: Page = 1
    limit: PageLimit = 20
    type: MonitorType | None = None
    status: Status | None = None


def routes(engine: Engine) -> Blueprint:
    blueprint = Blueprint("monitors", __name__)

    @blueprint.get("/monitors")
    @described("List the monitors", needs=READ, query=Listing, answers={200: MonitorsShape})
    async def show_all() -> Response:
        asked = query(Listing)
        if asked.type is not None and asked.type not in KINDS:
            raise ApiError(422, "Invalid query", details={"type": [f"Type must be one of: {', '.join(KINDS)}"]})
        found, total = engine.page(
            (asked.page - 1) * asked.limit,
            asked.limit,
            workspace=gate.identity().workspace,
            kind=asked.type,
            status=asked.status,
        )
        shown = [_shape(snapshot) for snapshot in found]
        return reply({"monitors": shown, "pagination": pagination(asked.page, asked.limit, total)})

    @blueprint.post("/monitors")
    @described("Create a monitor", needs=WRITE, body=NewMonitor, answers={201: MonitorShape})
    async def create() -> Response:
        return reply(_shape(await engine.add(await json_object(), gate.identity().workspace)), 201)

    @blueprint.get("/monitors/<id>")
    @described("Show a monitor", needs=READ, answers={200: MonitorShape})
    async def show(id: str) -> Response:
        return reply(_shape(engine.get(id)))

    @blueprint.route("/monitors/<id>", methods=["PUT", "PATCH"])
    @described("Change a monitor", needs=WRITE, body=MonitorChanges, answers={200: MonitorShape})
    async def change(id: str) -> Response:
        changes: dict[str, Any] = await json_object()
        for name in SHOWN_ONLY:
            changes.pop(name, None)
        return reply(_shape(await engine.update(id, changes)))

    @blueprint.delete("/monitors/<id>")
    @described("Delete a monitor", needs=WRITE, answers={204: None})
    async def delete(id: str) -> Response:
        await engine.delete(id)
        return nothing()

    @blueprint.post("/monitors/<id>/pause")
    @described("Pause a monitor", needs=WRITE, answers={200: MonitorShape})
    async def pause(id: str) -> Response:
        return reply(_shape(await engine.pause(id)))

    @blueprint.post("/monitors/<id>/resume")
    @described("Resume a monitor", needs=WRITE, answers={200: MonitorShape})
    async def resume(id: str) -> Response:
        return reply(_shape(await engine.resume(id)))

    return blueprint


def _shape(snapshot: Snapshot) -> dict[str, Any]:
    """The monitor as this identity may see it: a push id lets whoever knows it report for the monitor, which is writing."""
    shape = monitor_shape(snapshot)
    if "pushId" in shape and refusal(gate.identity(), WRITE, "POST") is not None:
        shape["pushId"] = MASK
    return shape
