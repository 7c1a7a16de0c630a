"""/health: whether the server can do its work, for load balancers and for whoever monitors the monitor. Open to everybody,
so it tells numbers and reasons of its own, nothing about single monitors; and it may be asked for without end, so the numbers
may be a moment old (`Kept`).
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

import trio
from msgspec import Meta
from quart import Response
from quart_trio import QuartTrio

from peekaping.api.describe import OPEN, described
from peekaping.api.shapes import Count, Milliseconds, reply
from peekaping.engine.engine import Engine
from peekaping.engine.kept import Kept
from peekaping.engine.reading import EngineStatistics


class HealthShape(TypedDict):
    status: Literal["ok", "degraded"]
    monitors: Count
    unknown: Annotated[dict[str, Count], Meta(description="how many monitors this host cannot check, by reason")]
    checks: Count
    backlog: Annotated[int, Meta(ge=0, description="heartbeats that wait to be stored")]
    missed: Annotated[int, Meta(ge=0, description="checks that came too late to be made")]
    lateP99: Milliseconds
    lateMax: Milliseconds
    restarts: Annotated[int, Meta(ge=0, description="actors that crashed and were started again")]
    reasons: NotRequired[list[str]]


def install(app: QuartTrio, engine: Engine) -> None:
    """At the root, where load balancers look, and under /api/v1."""

    kept: Kept[str, EngineStatistics] = Kept(1)

    async def count() -> EngineStatistics:
        await trio.lowlevel.checkpoint()
        return engine.statistics()

    @described("Show the server's health", needs=OPEN, answers={200: HealthShape, 503: HealthShape})
    async def health() -> Response:
        numbers = await kept.get("now", count)
        reasons = [] if numbers.store_failing is None else [f"Heartbeats cannot be stored: {numbers.store_failing}"]
        body: HealthShape = {
            "status": "degraded" if reasons else "ok",
            "monitors": numbers.monitors,
            "unknown": numbers.unknown_reasons,
            "checks": numbers.checks,
            "backlog": numbers.backlog,
            "missed": numbers.missed,
            "lateP99": numbers.late_p99_ms,
            "lateMax": numbers.late_max_ms,
            "restarts": numbers.restarts,
        }
        if reasons:
            body["reasons"] = reasons
        return reply(body, 503 if reasons else 200)

    app.add_url_rule("/health", "health", health)
    app.add_url_rule("/api/v1/health", "health_v1", health)
