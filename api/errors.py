"""Every error a client sees has one shape:

    {"error": {"code": "VALIDATION_ERROR", "message": "Invalid monitor configuration", "details": {"url": ["URL is required"]}}}

`code` is for machines, `message` for people, `details` maps each wrong field to its messages (empty where no field is to
blame). This file is the one place where exceptions become such answers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypedDict

import trio
from quart import has_request_context
from werkzeug.exceptions import HTTPException
from werkzeug.routing import WebsocketMismatch

from peekaping.engine.errors import Invalid, NameTaken, NoSuchChannel, NoSuchMonitor, Overloaded, Stopped
from peekaping.engine.ports import StoreFailed

log = logging.getLogger(__name__)

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    422: "VALIDATION_ERROR",
    426: "UPGRADE_REQUIRED",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
MESSAGES = {
    404: "There is nothing at this address",
    405: "This address does not take this method",
    413: "The body is too large",
    426: "This address is a WebSocket; connect with a client for those, as docs/api.md has it under Live events",
    500: "The server made a mistake; its log says more",
}


class RefusalShape(TypedDict):
    code: str
    message: str
    details: dict[str, list[str]]


class ErrorShape(TypedDict):
    error: RefusalShape


class ApiError(Exception):
    """A refusal, as the client will see it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or CODES[status]
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def shape(self) -> RefusalShape:
        return {"code": self.code, "message": self.message, "details": self.details}


class Unauthorized(ApiError):
    """401: nobody is logged in, or what was shown as proof is wrong or too old."""

    def __init__(self, message: str) -> None:
        super().__init__(401, message, headers={"WWW-Authenticate": 'Bearer realm="peekaping"'})


def too_many(message: str, retry_after_ms: int) -> ApiError:
    """429, with the time to wait."""
    seconds = max(1, -(-retry_after_ms // 1000))
    return ApiError(429, f"{message}; try again in {seconds} s", headers={"Retry-After": str(seconds)})


def translate(error: Exception) -> ApiError:
    """What a client is told about an exception. One that nobody foresaw becomes a 500 that tells nothing of it."""
    match error:
        case ApiError():
            return error
        case Invalid():
            return ApiError(422, error.message, details=error.errors)
        case NoSuchMonitor() | NoSuchChannel():
            return ApiError(404, str(error))
        case NameTaken():
            return ApiError(409, str(error), details={"name": [str(error)]})
        case Overloaded():
            return too_many("More pushes are waiting for this monitor than it can take", 1000)
        case Stopped() | trio.ClosedResourceError():  # the latter from a database that is closed already
            return _unavailable("The server is stopping")
        case StoreFailed():
            log.error("storage failed: %s (%r)", error, error.__cause__)
            return _unavailable(f"The database cannot do this now: {error}")
        case WebsocketMismatch() if has_request_context():
            return ApiError(426, MESSAGES[426], headers={"Upgrade": "websocket", "Connection": "Upgrade"})
        case WebsocketMismatch():
            return ApiError(400, "This address is no WebSocket; /ws is")
        case HTTPException():
            return _of_framework(error)
        case _:
            return ApiError(500, MESSAGES[500])


def _unavailable(message: str) -> ApiError:
    return ApiError(503, message, headers={"Retry-After": "5"})


def _of_framework(error: HTTPException) -> ApiError:
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    message = MESSAGES.get(status) or error.description or error.name
    return ApiError(status, message, code=CODES.get(status, error.name.upper().replace(" ", "_")), headers=headers)
