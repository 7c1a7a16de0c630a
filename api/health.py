"""/health: whether the server can do its work, for load balancers and for whoever monitors the monitor. Open to everybody,
so it tells numbers and reasons of its own, nothing about single monitors.
"""

from __future__ import annotations

from typing import Any

from quart import Response
from quart_trio import QuartTrio

from peekaping.api.shapes import reply
from peekaping.engine.engine import Engine


def install(app: QuartTrio, engine: Engine) -> None:
    """At the root, where load balancers look, and under /api/v1."""

    async def health() -> Response:
        numbers = engine.statistics()
        reasons = [] if numbers.store_failing is None else [f"Heartbeats cannot be stored: {numbers.store_failing}"]
        body: dict[str, Any] = {"status": "degraded" if reasons else "ok"}
        if reasons:
            body["reasons"] = reasons
        body |= {
            "monitors": numbers.monitors,
            "unknown": numbers.unknown_reasons,
            "checks": numbers.checks,
            "backlog": numbers.backlog,
            "missed": numbers.missed,
            "lateP99": numbers.late_p99_ms,
            "lateMax": numbers.late_max_ms,
            "restarts": numbers.restarts,
        }
        return reply(body, 503 if reasons else 200)

    app.add_url_rule("/health", "health", health)
    app.add_url_rule("/api/v1/health", "health_v1", health)
