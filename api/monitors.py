"""/monitors: list, create, show, change, delete, pause, resume."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from quart import Blueprint, Response

from peekaping.api.bodies import Page, PageLimit, json_object, query
from peekaping.api.errors import ApiError
from peekaping.api.shapes import SHOWN_ONLY, monitor_shape, nothing, reply
from peekaping.engine.engine import Engine
from peekaping.engine.probes import KINDS
from peekaping.engine.records import Status


class Listing(Struct):
    page: Page = 1
    limit: PageLimit = 20
    type: str | None = None
    status: Status | None = None


def routes(engine: Engine) -> Blueprint:
    blueprint = Blueprint("monitors", __name__)

    @blueprint.get("/monitors")
    async def show_all() -> Response:
        asked = query(Listing)
        if asked.type is not None and asked.type not in KINDS:
            raise ApiError(422, "Invalid query", details={"type": [f"Type must be one of: {', '.join(KINDS)}"]})
        found = [
            snapshot
            for snapshot in engine.monitors()
            if (asked.type is None or snapshot.entry.monitor.kind == asked.type)
            and (asked.status is None or snapshot.state.status is asked.status)
        ]
        first = (asked.page - 1) * asked.limit
        pagination = {
            "page": asked.page,
            "limit": asked.limit,
            "total": len(found),
            "pages": -(-len(found) // asked.limit),
        }
        shown = [monitor_shape(snapshot) for snapshot in found[first : first + asked.limit]]
        return reply({"monitors": shown, "pagination": pagination})

    @blueprint.post("/monitors")
    async def create() -> Response:
        return reply(monitor_shape(await engine.add(await json_object())), 201)

    @blueprint.get("/monitors/<id>")
    async def show(id: str) -> Response:
        return reply(monitor_shape(engine.get(id)))

    @blueprint.route("/monitors/<id>", methods=["PUT", "PATCH"])
    async def change(id: str) -> Response:
        changes: dict[str, Any] = await json_object()
        for name in SHOWN_ONLY:
            changes.pop(name, None)
        return reply(monitor_shape(await engine.update(id, changes)))

    @blueprint.delete("/monitors/<id>")
    async def delete(id: str) -> Response:
        await engine.delete(id)
        return nothing()

    @blueprint.post("/monitors/<id>/pause")
    async def pause(id: str) -> Response:
        return reply(monitor_shape(await engine.pause(id)))

    @blueprint.post("/monitors/<id>/resume")
    async def resume(id: str) -> Response:
        return reply(monitor_shape(await engine.resume(id)))

    return blueprint
