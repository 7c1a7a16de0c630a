"""/monitors/{id}/heartbeats, a monitor's history; /push/{pushId}, where push monitors get their heartbeats from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta, Struct, field
from quart import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from peekaping.api.bodies import Instant, json_object, query, read
from peekaping.api.describe import OPEN, READ, described
from peekaping.api.errors import ApiError, too_many
from peekaping.api.limits import PUSHES_PER_MINUTE, Counter
from peekaping.api.shapes import HeartbeatShape, heartbeat_shape, reply
from peekaping.engine.clock import MINUTE_MS
from peekaping.engine.engine import Engine
from peekaping.engine.records import Status


class Span(Struct):
    """From when, inclusive, until when, exclusive; None is all there is."""

    from_ms: Instant | None = field(name="from", default=None)
    to_ms: Instant | None = field(name="to", default=None)

    def __post_init__(self) -> None:
        if self.from_ms is not None and self.to_ms is not None and self.from_ms > self.to_ms:
            raise ApiError(422, "Invalid query", details={"to": ["To must not be before from"]})


class History(Span):
    limit: Annotated[int, Meta(ge=1, le=1000, description="a whole number from 1 to 1000")] = 100


Said = Literal["up", "down"]
Message = Annotated[str, Meta(max_length=1000, description="a text of at most 1000 characters")]
Ping = Annotated[float, Meta(ge=0, le=86_400_000, description="a number of milliseconds from 0 to 86400000")]


class Push(Struct):
    status: Said = "up"
    message: Message | None = None
    ping: Ping | None = None


class PushQuery(Struct):
    """The same in a query, and as the push scripts of Uptime Kuma have it: `?status=up&msg=OK&ping=`."""

    status: Said = "up"
    message: Message | None = None
    msg: Annotated[Message, Meta(description="another name for message")] | None = None
    ping: Ping | Literal[""] | None = None


class HistoryShape(TypedDict):
    heartbeats: list[HeartbeatShape]


class PushedShape(TypedDict):
    ok: Literal[True]


def routes(engine: Engine, utc_ms: Callable[[], int]) -> Blueprint:
    blueprint = Blueprint("heartbeats", __name__)
    pushes = Counter(PUSHES_PER_MINUTE, MINUTE_MS)

    @blueprint.get("/monitors/<id>/heartbeats")
    @described("List a monitor's heartbeats", needs=READ, query=History, answers={200: HistoryShape})
    async def history(id: str) -> Response:
        asked = query(History)
        found = await engine.heartbeats(id, from_ms=asked.from_ms, to_ms=asked.to_ms, limit=asked.limit)
        return reply({"heartbeats": [heartbeat_shape(heartbeat) for heartbeat in found]})

    @blueprint.route("/push/<push_id>", methods=["GET", "POST"])
    @described("Send a push", needs=OPEN, body=Push, query=PushQuery, answers={200: PushedShape})
    async def push(push_id: str) -> Response:
        """In a body, a query or both: what the body says wins."""
        if request.method == "HEAD":  # routed with GET; a link preview is no sign of life
            raise MethodNotAllowed(["GET", "POST"])
        engine.by_push_id(push_id)  # only addresses that exist are counted
        now_ms = utc_ms()
        standing = pushes.take(push_id, now_ms)
        if not standing.allowed:
            raise too_many("Too many pushes to this address", standing.reset_ms - now_ms)
        asked = query(PushQuery, once=False)
        ping = None if asked.ping == "" else asked.ping
        given = {"status": asked.status, "message": asked.message or asked.msg, "ping": ping}
        body: dict[str, Any] = await json_object() if request.method == "POST" else {}
        said = read(Push, given | body, "Invalid push")
        await engine.push(
            push_id,
            status=Status(said.status),
            message=said.message,
            response_ms=None if said.ping is None else round(said.ping),
        )
        return reply({"ok": True})

    return blueprint
