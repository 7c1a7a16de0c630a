"""/monitors: list, create, show, change, delete, pause, resume."""

from __future__ import annotations

from quart import Blueprint, Response

from peekaping.api import gate
from peekaping.api.bodies import json_object, query
from peekaping.api.describe import READ, WRITE, described
from peekaping.api.errors import ApiError
from peekaping.api.identity import refusal
from peekaping.api.listing import Listing
from peekaping.api.monitor_models import MonitorChanges, MonitorShape, MonitorsShape, MonitorType, NewMonitor
from peekaping.api.monitor_texts import MonitorTexts
from peekaping.api.shapes import SHOWN_ONLY, nothing, reply
from peekaping.engine.engine import Engine
from peekaping.engine.probes import KINDS
from peekaping.engine.records import Snapshot, Status


class Asked(Listing):
    type: MonitorType | None = None
    status: Status | None = None


def routes(engine: Engine) -> Blueprint:
    blueprint, texts = Blueprint("monitors", __name__), MonitorTexts()

    def one(snapshot: Snapshot, status: int = 200) -> Response:
        return reply(texts.of(snapshot, shows_push_id=_may_write()), status)

    @blueprint.get("/monitors")
    @described("List the monitors", needs=READ, query=Asked, answers={200: MonitorsShape})
    async def show_all() -> Response:
        asked = query(Asked)
        if asked.type is not None and asked.type not in KINDS:
            raise ApiError(422, "Invalid query", details={"type": [f"Type must be one of: {', '.join(KINDS)}"]})
        found, total = engine.page(
            asked.first, asked.limit, workspace=gate.identity().workspace, kind=asked.type, status=asked.status
        )
        may_write = _may_write()
        shown = [texts.of(snapshot, shows_push_id=may_write) for snapshot in found]
        return reply({"monitors": shown, "pagination": asked.pages(total)})

    @blueprint.post("/monitors")
    @described("Create a monitor", needs=WRITE, body=NewMonitor, answers={201: MonitorShape})
    async def create() -> Response:
        return one(await engine.add(await json_object(), gate.identity().workspace), 201)

    @blueprint.get("/monitors/<id>")
    @described("Show a monitor", needs=READ, answers={200: MonitorShape})
    async def show(id: str) -> Response:
        return one(engine.get(id))

    @blueprint.route("/monitors/<id>", methods=["PUT", "PATCH"])
    @described("Change a monitor", needs=WRITE, body=MonitorChanges, answers={200: MonitorShape})
    async def change(id: str) -> Response:
        return one(await engine.update(id, await json_object(without=SHOWN_ONLY)))

    @blueprint.delete("/monitors/<id>")
    @described("Delete a monitor", needs=WRITE, answers={204: None})
    async def delete(id: str) -> Response:
        await engine.delete(id)
        return nothing()

    @blueprint.post("/monitors/<id>/pause")
    @described("Pause a monitor", needs=WRITE, answers={200: MonitorShape})
    async def pause(id: str) -> Response:
        return one(await engine.pause(id))

    @blueprint.post("/monitors/<id>/resume")
    @described("Resume a monitor", needs=WRITE, answers={200: MonitorShape})
    async def resume(id: str) -> Response:
        return one(await engine.resume(id))

    return blueprint


def _may_write() -> bool:
    return refusal(gate.identity(), WRITE, "POST") is None
