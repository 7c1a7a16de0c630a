"""Targets that speak HTTP/2 over TLS, and misbehave in exactly one way."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import chain, cycle

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, SettingsAcknowledged, StreamEnded

from .sites import Site, Target, at, authority
from .targets import Handler, Leave, issued, server_context

Step = Callable[[H2Connection], object] | bytes | float | type[Leave]
"""What the server does next: say something, send raw bytes, wait seconds, go without a word."""
Seen = list[Event]


def head(status: int = 200, *fields: tuple[str, str], end: bool = False) -> Step:
    """A header."""
    return lambda server: server.send_headers(1, [(":status", str(status)), *fields], end_stream=end)


def data(content: bytes, *, end: bool = False, padding: int | None = None) -> Step:
    """A piece of the body."""
    return lambda server: server.send_data(1, content, end_stream=end, pad_length=padding)


def trailers(*fields: tuple[str, str]) -> Step:
    return lambda server: server.send_headers(1, fields, end_stream=True)


OK: tuple[Step, ...] = (head(200, ("content-length", "2")), data(b"ok", end=True))


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    """A frame as it is on the wire (RFC 9113, 4.1)."""
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def speaking(
    *steps: Step,
    context: ssl.SSLContext,
    for_ever: Sequence[Step] = (),
    takes_body: bool = True,
    seen: Seen | None = None,
) -> Handler:
    """A handler that reads a request and follows the steps, the last ones `for_ever`.

    It reads what the client must say before it begins, so that nothing unread resets the connection when it ends.
    """

    async def handle(plain: trio.SocketStream) -> None:
        stream = trio.SSLStream(plain, context, server_side=True)
        await stream.do_handshake()
        server = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
        server.config.normalize_outbound_headers = False
        server.initiate_connection()
        await stream.send_all(server.data_to_send())
        waiting_for: set[type[Event]] = {SettingsAcknowledged, StreamEnded if takes_body else RequestReceived}
        while waiting_for:
            for event in server.receive_data(await stream.receive_some(65536)):
                waiting_for.discard(type(event))
                if seen is not None:
                    seen.append(event)
                if isinstance(event, DataReceived) and event.flow_controlled_length:
                    server.acknowledge_received_data(event.flow_controlled_length, 1)
            await stream.send_all(server.data_to_send())
        endless: Iterable[Step] = cycle(for_ever) if for_ever else ()
        for step in chain(steps, endless):
            if isinstance(step, bytes):
                await stream.send_all(step)
            elif isinstance(step, float):
                await trio.sleep(step)
            elif isinstance(step, type):
                return
            else:
                step(server)
                await stream.send_all(server.data_to_send())
        await stream.aclose()

    return handle


def offering(*protocols: str) -> ssl.SSLContext:
    """A context of a server that knows these protocols."""
    context = server_context(issued(authority()))
    context.set_alpn_protocols(protocols)
    return context


def http2(*steps: Step, for_ever: Sequence[Step] = (), takes_body: bool = True, seen: Seen | None = None) -> Target:
    """An HTTPS server that speaks HTTP/2 alone."""

    @asynccontextmanager
    async def target() -> AsyncGenerator[Site, None]:
        handler = speaking(*steps, context=offering("h2"), for_ever=for_ever, takes_body=takes_body, seen=seen)
        async with at(handler, scheme="https", host="localhost")() as site:
            yield site

    return target
