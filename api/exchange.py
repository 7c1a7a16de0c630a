"""One request and its answer, between Hypercorn's protocols and the app: ASGI's `receive` and `send`.

An answer waits a moment for the rest of the request's body: closing a connection with unread data resets it, and the client
would see that in place of the 413 or 401 it was sent.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
from quart import Request
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection

log = logging.getLogger(__name__)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
"""Of ASGI: it takes the scope, a Receive and a Send."""

MOST_WAITING = 10
"""Messages of a client that the app has not taken. Then what it sends stays in its socket."""
REST_OF_BODY_WITHIN_S = 2.0
WHOLE = "peekaping.whole"
"""In a scope: whether all of the request is there when it begins. As a rule it is, and then no task need wait for the body."""


class Exchange:
    """A request, or a WebSocket, while it lasts.

    Args:
      send: takes the app's messages, and None when the app has ended.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._arrived, self._messages = trio.open_memory_channel[Message](MOST_WAITING)
        self._whole = trio.Event()
        """The whole request is there, or the client is not."""
        self._scope = trio.CancelScope()

    async def run(self, app: App, scope: Any) -> None:
        """Let the app answer, until it has or the client has gone."""
        scope["path"] = scope["path"] or "/"  # `GET ?query` is let through by Hypercorn, and more than Quart can take
        scope[WHOLE] = self._whole.is_set()
        try:
            with self._messages, self._scope:
                await app(scope, self.receive, self.send)
        except Exception:
            log.exception("a request failed")
        try:
            await self._send(None)
        finally:
            # It holds the protocol's stream, and that holds `deliver`: a cycle, and what the collector has to find makes
            # checks late.
            del self._send

    async def deliver(self, message: Message) -> None:
        """Take what the protocol has of the client."""
        kind = message["type"]
        if kind == "http.disconnect":
            self._whole.set()
            self._scope.cancel()  # it comes after the answer as well, when nothing is awaited any more
            return
        if kind == "http.request" and not message["more_body"]:
            self._whole.set()
        with suppress(trio.BrokenResourceError):  # the app has ended
            try:
                self._arrived.send_nowait(message)
            except trio.WouldBlock:
                await self._arrived.send(message)

    async def receive(self) -> Message:
        """The next message. All there is of a body comes as one, so that a small one is whole."""
        try:
            message = self._messages.receive_nowait()
        except trio.WouldBlock:
            message = await self._messages.receive()
        try:
            while message.get("more_body", False):
                following = self._messages.receive_nowait()
                message = {**following, "body": message["body"] + following["body"]}
        except trio.WouldBlock:
            pass
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._whole.is_set():
            with trio.move_on_after(REST_OF_BODY_WITHIN_S):
                await self._whole.wait()
        await self._send(message)


class HttpConnection(TrioASGIHTTPConnection):
    """A request within Quart, in the task that it comes in. quart-trio's has two more: one that waits for the client to go, which
    `Exchange` notices, and one that answers within a minute, which is the connection's affair."""

    async def __call__(self, receive: Any, send: Any) -> None:
        request = self._create_request_from_scope(send)
        if self.scope.get(WHOLE):
            await _fill(request, receive)
            await self._send_response(send, await self.app.handle_request(request))
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fill, request, receive)
            await self._send_response(send, await self.app.handle_request(request))
            nursery.cancel_scope.cancel()


async def _fill(request: Request, receive: Receive) -> None:
    """Give the request its body, as it comes."""
    is_more = True
    while is_more:
        message = await receive()
        request.body.append(message.get("body", b""))
        is_more = message.get("more_body", False)
    request.body.set_complete()


class WebApp(QuartTrio):
    asgi_http_class = HttpConnection
