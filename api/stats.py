"""/stats/overview and /monitors/{id}/stats."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from quart import Blueprint, Response

from peekaping.api.bodies import query
from peekaping.api.shapes import overview_shape, reply, stats_shape
from peekaping.engine.accounting import DAY
from peekaping.engine.engine import Engine

PERIODS_MS = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}


class Asked(Struct):
    period: Literal["24h", "7d", "30d", "90d"] = "24h"


def routes(engine: Engine) -> Blueprint:
    blueprint = Blueprint("stats", __name__)

    @blueprint.get("/stats/overview")
    async def overview() -> Response:
        return reply(overview_shape(await engine.overview()))

    @blueprint.get("/monitors/<id>/stats")
    async def of_monitor(id: str) -> Response:
        period = query(Asked).period
        return reply(stats_shape(period, await engine.totals_of(id, PERIODS_MS[period])))

    return blueprint
