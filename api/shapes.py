"""What goes out: the engine's records as the JSON of the API reference.

The shapes are TypedDicts: mypy holds the functions to them, the OpenAPI document is made of them, and encoding a list of them
costs what a list of plain dicts costs.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import Meta
from quart import Response

from peekaping.engine.accounting import Bucket
from peekaping.engine.certificate import SeenCertificate
from peekaping.engine.clock import utc_ms
from peekaping.engine.reading import Overview
from peekaping.engine.records import Heartbeat, Status, iso
from peekaping.engine.sketch import percentile
from peekaping.store.accounts import User

SHOWN_ONLY = ("lastMessage", "responseTime", "certificate")
"""Fields of a monitor that are shown beyond those which an update knows to ignore."""


Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""UTC, as `iso` writes it."""
Milliseconds = Annotated[int, Meta(ge=0, description="milliseconds")]
Count = Annotated[int, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100, description="percent")]


class CertificateShape(TypedDict):
    subject: str
    issuer: str
    names: tuple[str, ...]
    notBefore: Time
    notAfter: Time
    daysLeft: Annotated[int, Meta(description="as of now; negative when it is over")]
    fingerprint: Annotated[str, Meta(description="SHA-256, in hex")]
    serialNumber: Annotated[str, Meta(description="in hex")]
    since: Annotated[str, Meta(description="when it was first seen", extra_json_schema={"format": "date-time"})]


class HeartbeatShape(TypedDict):
    id: str
    monitorId: str
    status: Status
    responseTime: Milliseconds | None
    statusCode: int | None
    message: str
    reason: Annotated[str | None, Meta(description="the message in one word, for programs; null where all is well")]
    timestamp: Time


class UserShape(TypedDict):
    id: str
    email: str
    name: str


class Spent(TypedDict):
    """Milliseconds."""

    up: Count
    down: Count
    unknown: Count
    paused: Count


class StatsShape(TypedDict):
    period: str
    uptime: Percent | None
    avgResponseTime: Milliseconds | None
    minResponseTime: Milliseconds | None
    maxResponseTime: Milliseconds | None
    p50ResponseTime: Milliseconds | None
    p95ResponseTime: Milliseconds | None
    p99ResponseTime: Milliseconds | None
    totalChecks: Count
    failedChecks: Count
    time: Spent


Uptime = TypedDict("Uptime", {"24h": Percent | None, "7d": Percent | None, "30d": Percent | None})


class OverviewShape(TypedDict):
    totalMonitors: Count
    monitorsUp: Count
    monitorsDown: Count
    monitorsPending: Count
    monitorsUnknown: Count
    unknownReasons: Annotated[dict[str, Count], Meta(description="how many monitors this host cannot check, by reason")]
    monitorsPaused: Count
    avgResponseTime: Milliseconds | None
    totalChecks: Count
    uptime: Uptime


class PaginationShape(TypedDict):
    page: Count
    limit: Count
    total: Count
    pages: Count


def reply(value: Any, status: int = 200) -> Response:
    return encoded(msgspec.json.encode(value), status)


def encoded(body: bytes, status: int = 200) -> Response:
    """The same of what is JSON already."""
    return Response(body, status, content_type="application/json")


def nothing() -> Response:
    """204. It has neither a body nor headers about one."""
    response = Response(b"", 204)
    del response.headers["Content-Type"], response.headers["Content-Length"]
    return response


def certificate_shape(seen: SeenCertificate) -> CertificateShape:
    certificate = seen.certificate
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": certificate.names,
        "notBefore": iso(certificate.not_before_ms),
        "notAfter": iso(certificate.not_after_ms),
        "daysLeft": certificate.days_left(utc_ms()),  # of this host's clock, as the checks themselves
        "fingerprint": certificate.fingerprint,
        "serialNumber": certificate.serial_number,
        "since": iso(seen.since_ms),
    }


def heartbeat_shape(heartbeat: Heartbeat) -> HeartbeatShape:
    return {
        "id": heartbeat.id,
        "monitorId": heartbeat.monitor_id,
        "status": heartbeat.status,
        "responseTime": heartbeat.response_ms,
        "statusCode": heartbeat.status_code,
        "message": heartbeat.message,
        "reason": heartbeat.reason,
        "timestamp": iso(heartbeat.at),
    }


def user_shape(user: User) -> UserShape:
    return {"id": f"user-{user.id}", "email": user.email, "name": user.name}


def stats_shape(period: str, bucket: Bucket) -> StatsShape:
    return {
        "period": period,
        "uptime": bucket.uptime,
        "avgResponseTime": whole(bucket.average_response),
        "minResponseTime": bucket.response_min,
        "maxResponseTime": bucket.response_max,
        "p50ResponseTime": _percentile(bucket, 0.50),
        "p95ResponseTime": _percentile(bucket, 0.95),
        "p99ResponseTime": _percentile(bucket, 0.99),
        "totalChecks": bucket.checks,
        "failedChecks": bucket.failures,
        "time": {"up": bucket.up, "down": bucket.down, "unknown": bucket.unknown, "paused": bucket.paused},
    }


def _percentile(bucket: Bucket, fraction: float) -> int | None:
    """The sketch is off by up to 2 %, but nothing lies beyond the least and the greatest, which are exact."""
    found = whole(percentile(bucket.sketch, fraction))
    if found is None or bucket.response_min is None or bucket.response_max is None:
        return found
    return min(max(found, bucket.response_min), bucket.response_max)


def overview_shape(overview: Overview) -> OverviewShape:
    def count(status: Status) -> int:
        return overview.by_status.get(status, 0)

    return {
        "totalMonitors": overview.monitors,
        "monitorsUp": count(Status.UP),
        "monitorsDown": count(Status.DOWN),
        "monitorsPending": count(Status.PENDING),
        "monitorsUnknown": count(Status.UNKNOWN),
        "unknownReasons": overview.unknown_reasons,
        "monitorsPaused": count(Status.PAUSED),
        "avgResponseTime": whole(overview.day.average_response),
        "totalChecks": overview.ever.checks,
        "uptime": {"24h": overview.day.uptime, "7d": overview.week.uptime, "30d": overview.month.uptime},
    }


def whole(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)
