"""Raw clients of a server: bytes over HTTP/1.1, frames over HTTP/2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded

E = TypeVar("E", bound=Event)

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(stream: trio.SocketStream) -> bytes:
    """One answer with a Content-Length."""
    data = b""
    with trio.fail_after(5):
        while True:
            head, found, body = data.partition(b"\r\n\r\n")
            if found:
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                if len(body) >= length:
                    return data
            more = await stream.receive_some()
            assert more, f"the connection ended early: {data!r}"
            data += more


async def until_closed(stream: trio.SocketStream, within_s: float = 5) -> bytes:
    data = b""
    with trio.fail_after(within_s):
        while more := await stream.receive_some():
            data += more
    return data


class Http2:
    """A client of HTTP/2; what it has seen is in `seen`."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.frames = H2Connection()
        self.frames.config.validate_outbound_headers = False
        self.frames.config.normalize_outbound_headers = False
        self.frames.initiate_connection()
        self.seen: list[Event] = []
        self._stream = stream

    def request(
        self, path: str | bytes = "/health", *headers: tuple[str, str], method: str = "GET", end: bool = True
    ) -> int:
        """Make one ready to be sent; gives its stream."""
        target = [(":scheme", "http"), (":path", path)] if method != "CONNECT" else []
        stream: int = self.frames.get_next_available_stream_id()
        fields: list[Any] = [(":method", method), (":authority", "x"), *target, *headers]
        self.frames.send_headers(stream, fields, end_stream=end)
        return stream

    async def flush(self) -> None:
        await self._stream.send_all(self.frames.data_to_send())

    async def until(self, kind: type[E], stream: int | None = None) -> E:
        """Talk until that has been seen, on this stream."""
        with trio.fail_after(5):
            while True:
                for event in self.seen:
                    if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None)):
                        return event
                await self.next()

    async def next(self) -> None:
        """Send what is to be sent, and take what comes."""
        await self.flush()
        data = await self._stream.receive_some()
        assert data, f"the connection ended early: {self.seen}"
        for event in self.frames.receive_data(data):
            self.seen.append(event)
            if isinstance(event, DataReceived):
                self.frames.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    async def answer(self, stream: int) -> tuple[int, bytes]:
        """Its status and its body."""
        await self.until(StreamEnded, stream)
        head = await self.until(ResponseReceived, stream)
        bodies = [event.data for event in self.seen if isinstance(event, DataReceived) and event.stream_id == stream]
        return int(dict(head.headers)[b":status"]), b"".join(bodies)


@asynccontextmanager
async def http2(port: int) -> AsyncIterator[Http2]:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        yield Http2(stream)
