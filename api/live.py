"""/ws: heartbeats and status changes as they happen.

A connection is four tasks beside each other: one sends what the hub hands out, one reads what the client says (always, since
a connection that is not read never learns that the client has gone), one waits for the server's stop, one for the end of the
client's login. Whichever knows that it is over raises `Closing` with the close code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import msgspec
import trio
from msgspec import Meta
from quart import Blueprint, websocket

from peekaping.api import gate
from peekaping.api.bodies import object_of, read
from peekaping.api.describe import OPEN, described
from peekaping.api.errors import ApiError, Unauthorized
from peekaping.api.identity import Endings, Identity
from peekaping.engine.engine import Engine
from peekaping.engine.errors import NoSuchMonitor
from peekaping.engine.hub import Lagged, Subscription
from peekaping.engine.records import Heartbeat, iso

AUTHENTICATE_WITHIN_S = 10.0
GOING_AWAY = 1001
TOO_SLOW = 1008
NOT_AUTHENTICATED = 4401
TOO_MANY = 4429


class Closing(Exception):
    """The connection is to end with this close code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Auth(msgspec.Struct):
    token: str


class Subscribe(msgspec.Struct):
    monitors: Annotated[list[str], Meta(description="a list of monitor ids")] | None = None
    """None: all."""


def routes(
    engine: Engine,
    identify: gate.Identify,
    endings: Endings,
    per_user: int,
    utc_ms: Callable[[], int],
    stopping: trio.Event,
    allowed_origins: Collection[str] = (),
) -> Blueprint:
    blueprint = Blueprint("live", __name__)
    open_sockets: Counter[int] = Counter()

    @blueprint.websocket("/ws")
    @described("Follow events as they happen", needs=OPEN, answers={})
    async def live() -> None:
        _refuse_other_sites(allowed_origins)
        await websocket.accept()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_stopping, stopping)
                identity = await _first_identity(identify, utc_ms)
                # Without an await since it was checked: what ends from here on, `ended` tells.
                with _place(open_sockets, identity.user, per_user), endings.watch(identity) as ended:
                    await Client(engine, identify, utc_ms, identity).run(ended)
        except* Closing as closings:
            code, reason = _first(closings)
        await websocket.close(code, reason)

    return blueprint


class Client:
    """One authenticated connection. Its tasks end by `Closing` or by being cancelled."""

    def __init__(
        self,
        engine: Engine,
        identify: gate.Identify,
        utc_ms: Callable[[], int],
        identity: Identity,
    ) -> None:
        self._engine = engine
        self._identify = identify
        self._utc_ms = utc_ms
        self.identity = identity

    async def run(self, ended: trio.Event) -> None:
        """Serve it; `ended` is set when its login or key is one no more."""
        with self._engine.subscribe(workspace=self.identity.workspace) as subscription:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_logged_out, ended)
                nursery.start_soon(self._listen, subscription)
                await _send({"type": "auth_ok"})
                await self._tell(subscription)

    async def _tell(self, subscription: Subscription) -> NoReturn:
        async for item in subscription:
            if isinstance(item, Lagged):
                await _send({"type": "lagged", "data": {"dropped": item.dropped}})
            elif subscription.is_about(item):
                for message in messages_of(item):
                    await websocket.send(message)
        raise Closing(TOO_SLOW, "too slow for the events subscribed to")

    async def _listen(self, subscription: Subscription) -> NoReturn:
        while True:
            try:
                await _send(await self._reply_to(await _message(), subscription))
            except ApiError as error:
                await _send({"type": "error", "error": error.shape()})

    async def _reply_to(self, message: dict[str, Any], subscription: Subscription) -> dict[str, Any]:
        match message.pop("type", None):
            case "subscribe":
                wanted = read(Subscribe, message, "Invalid subscription").monitors
                subscription.narrow(None if wanted is None else [self._number(id) for id in wanted])
                return {"type": "subscribed", "monitors": wanted}
            case "auth":
                # A connection outlives its access token when the client sends the next one in time.
                token = read(Auth, message, "Invalid authentication").token
                identity = await self._identify(token, self._utc_ms())
                if identity[:2] != self.identity[:2]:
                    raise Unauthorized("This token is of another session; open another connection for it")
                self.identity = identity
                return {"type": "auth_ok"}
            case _:
                raise ApiError(400, "Unknown message type; there are auth and subscribe", code="UNKNOWN_TYPE")

    def _number(self, id: str) -> int:
        with suppress(NoSuchMonitor):
            entry = self._engine.get(id).entry
            if entry.workspace == self.identity.workspace:
                return entry.number
        raise ApiError(422, "Invalid subscription", details={"monitors": [f"There is no monitor {id[:40]}"]})

    async def _until_logged_out(self, ended: trio.Event) -> NoReturn:
        while (left_ms := self.identity.expires_ms - self._utc_ms()) > 0:
            with trio.move_on_after(left_ms / 1000):
                await ended.wait()
                raise Closing(NOT_AUTHENTICATED, "logged out")
        raise Closing(NOT_AUTHENTICATED, "the access token has expired")


@lru_cache(maxsize=4096)
def messages_of(heartbeat: Heartbeat) -> tuple[str, ...]:
    """A heartbeat's events as JSON. Cached, so that a thousand subscribers cost one encoding."""
    at = iso(heartbeat.at)
    data: dict[str, Any] = {
        "monitorId": heartbeat.monitor_id,
        "status": heartbeat.status,
        "responseTime": heartbeat.response_ms,
        "timestamp": at,
    }
    messages = [_encode({"type": "heartbeat", "data": data})]
    if heartbeat.previous is not heartbeat.status:
        change = {
            "monitorId": heartbeat.monitor_id,
            "oldStatus": heartbeat.previous,
            "newStatus": heartbeat.status,
            "timestamp": at,
        }
        messages.append(_encode({"type": "monitor_status", "data": change}))
    return tuple(messages)


async def _first_identity(identify: gate.Identify, utc_ms: Callable[[], int]) -> Identity:
    """Who has connected: by a header of the handshake, else by the first message."""
    try:
        token = gate.token_of(websocket.headers)
        if token is None:
            with trio.move_on_after(AUTHENTICATE_WITHIN_S):
                message = await _message()
                if message.pop("type", None) != "auth":
                    raise Closing(NOT_AUTHENTICATED, "the first message must be of type auth")
                token = read(Auth, message, "Invalid authentication").token
        if token is None:
            raise Closing(NOT_AUTHENTICATED, f"no authentication within {AUTHENTICATE_WITHIN_S:g} s")
        return await identify(token, utc_ms())
    except ApiError as error:
        raise Closing(NOT_AUTHENTICATED, error.message[:100]) from error


@contextmanager
def _place(open_sockets: Counter[int], user: int, per_user: int) -> Iterator[None]:
    """One of the user's places; 0 is no limit."""
    if 0 < per_user <= open_sockets[user]:
        raise Closing(TOO_MANY, f"more than {per_user} connections")
    open_sockets[user] += 1
    try:
        yield
    finally:
        open_sockets[user] -= 1
        if not open_sockets[user]:
            del open_sockets[user]


async def _until_stopping(stopping: trio.Event) -> NoReturn:
    await stopping.wait()
    raise Closing(GOING_AWAY, "the server is stopping")


def _refuse_other_sites(allowed_origins: Collection[str]) -> None:
    """A browser names the page's origin; a page of another site must not open a socket with its visitor's powers."""
    origin = websocket.headers.get("Origin")
    if origin is None or origin in allowed_origins:
        return
    if _host_of(origin) != websocket.headers.get("Host", "").lower():
        raise ApiError(403, "This page's origin is not this server, nor one of PEEKAPING_ALLOWED_ORIGINS")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


async def _message() -> dict[str, Any]:
    return object_of(await websocket.receive())  # an empty binary message arrives as None, and is as empty as it was


async def _send(message: dict[str, Any]) -> None:
    await websocket.send(_encode(message))


def _encode(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


def _first(closings: BaseExceptionGroup[Closing]) -> tuple[int, str]:
    error = closings.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else (error.code, error.reason)
