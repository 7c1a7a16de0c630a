"""Hypercorn's protocols, with what they leave to a trusting world put right.

Left out is what nobody needs of a server of small JSON without TLS: WebSockets over HTTP/2, the upgrade to it within HTTP/1
(RFC 9113 has dropped it, and through a proxy that forwards the header it goes around the proxy's rules), and priorities.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import h11
import trio
from h2.errors import ErrorCodes
from h2.events import DataReceived, PriorityUpdated, RequestReceived
from h2.events import Event as FrameEvent
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, H2Protocol
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream

SEND_WITHIN_S = 60.0
"""What a client may take for one part of an answer; the kernel drops one that takes nothing at all sooner."""
EXTENSIONS = b"sec-websocket-extensions"


class Http1(H11Protocol):
    """HTTP/1.1, and WebSockets."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._head = b""
        """Of an answer, to be sent with what comes after it: for a small answer a second call was a tenth of the work."""

    @property
    def is_answering(self) -> bool:
        """Whether a request runs, other than a WebSocket."""
        return isinstance(self.stream, HTTPStream)

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        # When Hypercorn has refused a handshake, or too large a message, it goes on listening, and keeps what it hears.
        if isinstance(self.stream, WSStream) and (
            self.stream.closed or self.stream.buffer.length > self.stream.buffer.max_length
        ):
            await self.send(Closed())

    async def _check_protocol(self, event: h11.Request) -> None:
        if event.method == b"PRI" and event.target == b"*" and event.http_version == b"2.0":
            raise H2ProtocolAssumedError(b"PRI * HTTP/2.0\r\n\r\n" + self.connection.trailing_data[0])

    async def _create_stream(self, request: h11.Request) -> None:
        names = [name for name, _ in request.headers]
        # A proxy before us may have gone by the other length; then the next request would be somebody else's (RFC 9112, 6.1).
        if (b"content-length" in names and b"transfer-encoding" in names) or not _is_target(request.target):
            await self._send_error_response(400)
            await self.send(Closed())
            return
        if EXTENSIONS in names:
            # Compression is all they offer: 199 KiB were 200 MB, without a login. Our events are small.
            headers = [(name, value) for name, value in request.headers if name != EXTENSIONS]
            request = h11.Request(
                method=request.method, target=request.target, headers=headers, http_version=request.http_version
            )
        await super()._create_stream(request)

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data = self._head + (self.connection.send(event) or b"")
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        self._head = data if isinstance(event, h11.Response) else b""
        if data and not self._head:
            await self.send(RawData(data))


def _is_target(target: bytes) -> bool:
    """Whether the app can make something of it: a path, or an address that can be taken apart."""
    try:
        return target.startswith(b"/") or bool(urlsplit(target.decode("latin-1")))
    except ValueError:
        return False


class Http2(H2Protocol):
    """HTTP/2, for a client that begins with it."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        del self.connection.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]

    async def stream_send(self, event: StreamEvent) -> None:
        """Give the client a part of an answer; one that keeps its window closed is let go."""
        with trio.move_on_after(SEND_WITHIN_S) as scope:
            buffer = self.stream_buffers.get(event.stream_id)
            if isinstance(event, Body) and buffer is not None:
                # Piece by piece, since what waits for the window is a copy; and Hypercorn's own bound does not hold.
                for start in range(0, len(event.data), BUFFER_HIGH_WATER):
                    piece = event.data[start : start + BUFFER_HIGH_WATER]
                    await super().stream_send(Body(event.stream_id, piece))
                    await buffer.drain()
            elif isinstance(event, StreamClosed) and buffer is not None and not buffer._complete:
                # The app broke off: else the client would wait for the rest.
                with suppress(ProtocolError):
                    self.connection.reset_stream(event.stream_id, ErrorCodes.INTERNAL_ERROR)
                await super().stream_send(event)
                await self._window_updated(event.stream_id)
                await self._flush()
            else:
                await super().stream_send(event)
        if scope.cancelled_caught:
            await self.send(Closed())

    async def _handle_events(self, events: list[FrameEvent]) -> None:
        for event in events:
            if isinstance(event, DataReceived) and event.stream_id not in self.streams:
                # It was answered before it was whole. The connection's window is everybody's, so it is given back.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await self._flush()
            else:
                await super()._handle_events([event])

    async def _create_stream(self, request: RequestReceived) -> None:
        head = dict(request.headers)
        method, path = head[b":method"], head.get(b":path", b"")
        if method.upper() == b"CONNECT" or not (method + path).isascii():
            with suppress(ProtocolError):  # taken back already, or the client has said goodbye
                self.connection.reset_stream(request.stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        await super()._create_stream(request)

    async def _priority_updated(self, event: PriorityUpdated) -> None:
        """Nothing: RFC 9113 has dropped priorities, and those of streams that never begin would be kept."""
