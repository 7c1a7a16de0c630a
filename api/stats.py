"""/stats/overview and /monitors/{id}/stats."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

import msgspec
from msgspec import Meta, Struct
from quart import Blueprint, Response

from peekaping.api import gate
from peekaping.api.bodies import query
from peekaping.api.describe import READ, described
from peekaping.api.shapes import (
    Count,
    Milliseconds,
    OverviewShape,
    Percent,
    StatsShape,
    Time,
    encoded,
    overview_shape,
    reply,
    stats_shape,
    whole,
)
from peekaping.engine.accounting import DAY, HOUR, MINUTE, Bucket
from peekaping.engine.engine import Engine
from peekaping.engine.kept import Kept
from peekaping.engine.outages import Outage
from peekaping.engine.records import iso
from peekaping.engine.report import Report

PERIODS_MS = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}
STEPS_MS = {"24h": 15 * MINUTE, "7d": 2 * HOUR, "30d": 6 * HOUR, "90d": DAY}
"""About a hundred points to draw."""
MOST_KEPT = 100
"""Answers of 20 kB, as a rule."""


class Asked(Struct):
    period: Literal["24h", "7d", "30d", "90d"] = "24h"


class PointShape(TypedDict):
    startTime: Time
    uptime: Percent | None
    avgResponseTime: Milliseconds | None
    minResponseTime: Milliseconds | None
    maxResponseTime: Milliseconds | None
    totalChecks: Count
    failedChecks: Count


class OutageShape(TypedDict):
    startTime: Time
    endTime: Time | None
    duration: Annotated[int, Meta(ge=0, description="milliseconds, until now where it lasts")]


class ReportShape(StatsShape, TypedDict):
    outageCount: Count
    mttr: Annotated[int | None, Meta(description="milliseconds; mean time to recovery, null without an outage")]
    mtbf: Annotated[int | None, Meta(description="milliseconds; mean time between failures, null without an outage")]
    outages: Annotated[list[OutageShape], Meta(description="the newest hundred, newest first")]
    buckets: Annotated[list[PointShape], Meta(description="oldest first, without gaps")]


def routes(engine: Engine) -> Blueprint:
    blueprint = Blueprint("stats", __name__)
    kept: Kept[object, bytes] = Kept(MOST_KEPT)

    @blueprint.get("/stats/overview")
    @described("Show the overview", needs=READ, answers={200: OverviewShape})
    async def overview() -> Response:
        return reply(overview_shape(await engine.overview(gate.identity().workspace)))

    @blueprint.get("/monitors/<id>/stats")
    @described("Show a monitor's statistics", needs=READ, query=Asked, answers={200: ReportShape})
    async def of_monitor(id: str) -> Response:
        period = query(Asked).period

        async def made() -> bytes:
            report = await engine.report(id, PERIODS_MS[period], step_ms=STEPS_MS[period])
            return msgspec.json.encode(report_shape(period, report))

        # With its state, so that whoever asks because it went down is not told how it was before.
        return encoded(await kept.get((id, period, engine.get(id).state), made))

    return blueprint


def report_shape(period: str, report: Report) -> ReportShape:
    return {
        **stats_shape(period, report.total),
        "outageCount": report.outage_count,
        "mttr": whole(report.mean_time_to_recovery),
        "mtbf": whole(report.mean_time_between_failures),
        "outages": [_outage_shape(outage, report.now) for outage in report.outages],
        "buckets": [_point_shape(bucket) for bucket in report.series],
    }


def _outage_shape(outage: Outage, now: int) -> OutageShape:
    return {
        "startTime": iso(outage.start),
        "endTime": None if outage.end is None else iso(outage.end),
        "duration": max(0, (now if outage.end is None else outage.end) - outage.start),
    }


def _point_shape(bucket: Bucket) -> PointShape:
    return {
        "startTime": iso(bucket.start),
        "uptime": bucket.uptime,
        "avgResponseTime": whole(bucket.average_response),
        "minResponseTime": bucket.response_min,
        "maxResponseTime": bucket.response_max,
        "totalChecks": bucket.checks,
        "failedChecks": bucket.failures,
    }
