"""What goes out: the engine's records as the JSON of the API reference."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from quart import Response

from peekaping.engine.accounting import Bucket
from peekaping.engine.certificate import SeenCertificate
from peekaping.engine.engine import Overview, utc_ms
from peekaping.engine.monitor import fields_of
from peekaping.engine.records import Heartbeat, Snapshot, Status
from peekaping.engine.sketch import percentile
from peekaping.store.accounts import User

SHOWN_ONLY = ("lastMessage", "responseTime", "certificate")
"""Fields of a monitor that are shown beyond those which an update knows to ignore."""


def reply(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json")


def nothing() -> Response:
    """204. It has neither a body nor headers about one."""
    response = Response(b"", 204)
    del response.headers["Content-Type"], response.headers["Content-Length"]
    return response


def iso(at_ms: int) -> str:
    """UTC with millisecond digits: 2024-01-20T10:30:00.000Z."""
    return f"{_second(at_ms // 1000)}.{at_ms % 1000:03}Z"


@lru_cache(1024)
def _second(at: int) -> str:
    # Thousands of heartbeats share a second; formatting it costs ten times what the cache does.
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def monitor_shape(snapshot: Snapshot) -> dict[str, Any]:
    entry, state, last, certificate = snapshot
    shape = {
        "id": entry.id,
        **fields_of(entry.monitor),
        "status": state.status,
        "lastCheck": iso(last.at) if last is not None and last.is_check else None,
        "lastMessage": last.message if last is not None else None,
        "responseTime": last.response_ms if last is not None else None,
        "certificate": certificate_shape(certificate) if certificate is not None else None,
        "createdAt": iso(entry.created_ms),
        "updatedAt": iso(entry.updated_ms),
    }
    if entry.push_id is not None:
        shape["pushId"] = entry.push_id
    return shape


def certificate_shape(seen: SeenCertificate) -> dict[str, Any]:
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


def heartbeat_shape(heartbeat: Heartbeat) -> dict[str, Any]:
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


def user_shape(user: User) -> dict[str, Any]:
    return {"id": f"user-{user.id}", "email": user.email, "name": user.name}


def stats_shape(period: str, bucket: Bucket) -> dict[str, Any]:
    return {
        "period": period,
        "uptime": bucket.uptime,
        "avgResponseTime": whole(bucket.average_response),
        "minResponseTime": bucket.response_min,
        "maxResponseTime": bucket.response_max,
        "p50ResponseTime": whole(percentile(bucket.sketch, 0.50)),
        "p95ResponseTime": whole(percentile(bucket.sketch, 0.95)),
        "p99ResponseTime": whole(percentile(bucket.sketch, 0.99)),
        "totalChecks": bucket.checks,
        "failedChecks": bucket.failures,
        "time": {"up": bucket.up, "down": bucket.down, "unknown": bucket.unknown, "paused": bucket.paused},
    }


def overview_shape(overview: Overview) -> dict[str, Any]:
    def count(status: Status) -> int:
        return overview.by_status.get(status, 0)

    return {
        "totalMonitors": overview.monitors,
        "monitorsUp": count(Status.UP),
        "monitorsDown": count(Status.DOWN),
        "monitorsPending": count(Status.PENDING),
        "monitorsUnknown": count(Status.UNKNOWN),
        "monitorsPaused": count(Status.PAUSED),
        "avgResponseTime": whole(overview.day.average_response),
        "totalChecks": overview.ever.checks,
        "uptime": {"24h": overview.day.uptime, "7d": overview.week.uptime, "30d": overview.month.uptime},
    }


def whole(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)
