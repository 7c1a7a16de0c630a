"""The SDK's live events: a WebSocket that is made again whenever it breaks, as an async iterator."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import httpx
import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from peekaping.calls import ApiError, ClientError, JsonObject, Unreachable

CONNECT_TIMEOUT_S = 10.0
"""For each step: connecting, the handshakes, the answer to a ping."""
SILENCE_S = 30.0
"""After this long without a message the server is pinged: a peer that vanished says nothing else."""
RENEW_EVERY_S = 20.0
"""How often to see whether the login needs renewal; more often than `calls.RENEWAL_MARGIN_S`."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
NOT_AUTHENTICATED, TOO_MANY_CONNECTIONS = 4401, 4429
"""The server's close codes."""
BUFFERED = 16
"""Events received ahead of their reader. When full, TCP holds the server back, which then drops and says how many."""

_log = logging.getLogger("peekaping.sdk")


class EventStream:
    """An endless async iterator over events, one connection at a time.

    The connection is there from the first step of the loop until the loop is cancelled, the client is closed, or
    `close`; a loop that ends by `break` wants `with client.events() as events:` around it.
    """

    def __init__(
        self, nursery: trio.Nursery, websocket_url: str, token: Callable[[str | None], Awaitable[str | None]]
    ) -> None:
        self._nursery = nursery
        self._url = httpx.URL(websocket_url)
        self._token = token
        self._scope = trio.CancelScope()
        self._send, self._receive = trio.open_memory_channel[JsonObject | ClientError](BUFFERED)
        self._started = False
        self._connections = 0
        self._failures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection; the iteration ends. Fine to call twice."""
        self._scope.cancel(reason="the event stream was closed")
        self._receive.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JsonObject:
        if not self._started:
            self._started = True
            self._nursery.start_soon(self._follow)
        try:
            item = await self._receive.receive()
        except (trio.ClosedResourceError, trio.EndOfChannel):
            raise StopAsyncIteration from None
        except trio.Cancelled:
            self.close()
            raise
        if isinstance(item, ClientError):
            raise item
        return item

    async def _follow(self) -> None:
        """In the client's nursery: one connection after the other, until one is refused for good."""
        token: str | None = None
        rejected: str | None = None
        turned_away: str | None = None
        with self._scope, self._send:
            while True:
                problem: Exception
                connections = self._connections
                try:
                    token = await self._token(rejected)
                    if token is None or token == turned_away:
                        raise ApiError(401, "UNAUTHORIZED", "The server does not accept this token for events")
                    await self._connection(token)
                except* (ClientError, ConnectionClosed, HandshakeError, OSError, trio.TooSlowError) as problems:
                    problem = _first(problems)
                if isinstance(problem, ClientError) and not _passes(problem):
                    await self._send.send(problem)
                    return
                code = _close_code(problem)
                if code == TOO_MANY_CONNECTIONS and not self._connections:
                    await self._send.send(ApiError(429, "TOO_MANY_CONNECTIONS", "Close another event stream first"))
                    return
                rejected = token if code == NOT_AUTHENTICATED else None
                # What ended a connection that stood need not be the token's end: logging out everywhere spares API keys.
                turned_away = rejected if self._connections == connections else None
                pause = random.uniform(0.5, 1) * min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S)
                self._failures += 1
                _log.warning("no live events from %s (%r), next try in %.1f s", self._url, problem, pause)
                await trio.sleep(pause)

    async def _connection(self, token: str) -> None:
        """One connection from its first byte to its last; ends by an exception."""
        stream = await self._dial()
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_after(CONNECT_TIMEOUT_S):
                    websocket = await wrap_client_stream(
                        nursery, stream, self._url.netloc.decode(), self._url.raw_path.decode()
                    )
                    await websocket.send_message(json.dumps({"type": "auth", "token": token}))
                    await websocket.get_message()
                self._connections += 1
                self._failures = 0
                nursery.start_soon(self._stay_logged_in, websocket, token)
                await self._send.send({"type": "connected", "data": {}})
                while True:
                    message = await _next_message(websocket)
                    if "data" in message:  # else it answers our own messages
                        await self._send.send(message)
        finally:  # not left to the WebSocket library, which forgets it when it is cancelled within its handshake
            await trio.aclose_forcefully(stream)

    async def _stay_logged_in(self, websocket: WebSocketConnection, token: str | None) -> None:
        while True:
            await trio.sleep(RENEW_EVERY_S)
            renewed = await self._token(None)
            if renewed != token:
                token = renewed
                await websocket.send_message(json.dumps({"type": "auth", "token": token}))

    async def _dial(self) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        with trio.fail_after(CONNECT_TIMEOUT_S):
            if self._url.scheme == "ws":
                return await trio.open_tcp_stream(self._url.host, self._url.port or 80)
            stream = await trio.open_ssl_over_tcp_stream(
                self._url.host,
                self._url.port or 443,
                https_compatible=True,
                ssl_context=httpx.create_ssl_context(),  # the REST calls' trust, whatever that is
            )
            try:
                await stream.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            return stream


async def _next_message(websocket: WebSocketConnection) -> JsonObject:
    while True:
        with trio.move_on_after(SILENCE_S):
            message: JsonObject = json.loads(await websocket.get_message())
            return message
        with trio.fail_after(CONNECT_TIMEOUT_S):
            await websocket.ping()


def _passes(problem: ClientError) -> bool:
    """Whether the same may go well a little later."""
    return isinstance(problem, Unreachable) or (
        isinstance(problem, ApiError) and (problem.status >= 500 or problem.status == 429)
    )


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """Of several failures of one connection, the one that came first; groups nest."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _close_code(problem: Exception) -> int | None:
    return problem.reason.code if isinstance(problem, ConnectionClosed) and problem.reason is not None else None
