"""Each await of each probe, also those of its resolver and of the race between addresses, on real sockets: cancelled there, it
leaves no socket behind."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
from trio.lowlevel import Task, add_instrument, current_task, remove_instrument
from trio.testing import wait_all_tasks_blocked
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from peekaping.engine.net.network import Network
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor, prepare
from peekaping.engine.records import Outcome, Status

from .http2_target import OK as OK_2
from .http2_target import speaking
from .nameserver import Zone, nameserver, zone
from .sites import ADDRESS, OK, authority, good, moved, this_host
from .targets import Handler, saying, server_context, serving
from .test_network import descriptors
from .test_probe_ping import permitted

MOST_AWAITS = 200
CONNECT_WITHIN_S = 0.5
"""The server of WebSockets does not notice sooner that a client left in the handshake for TLS."""
FREQUENT = {"interval": 60_000, "timeout": 5000}

Fields = dict[str, Any]
Target = Callable[[], AbstractAsyncContextManager[tuple[Fields, Callable[[], Network]]]]
"""Gives a monitor's fields, and networks that know no name yet."""


class CancelAfter(trio.abc.Instrument):
    """Cancels a scope once the task in it, and those begun in it, have parked for the n-th time."""

    def __init__(self, task: Task, scope: trio.CancelScope, steps: int) -> None:
        self._family, self._scope, self._left = {task}, scope, steps

    def task_spawned(self, task: Task) -> None:
        if task.parent_nursery is not None and task.parent_nursery.parent_task in self._family:
            self._family.add(task)

    def after_task_step(self, task: Task) -> None:
        if task in self._family:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


def ca() -> str:
    return authority().cert_pem.bytes().decode()


def tls(handler: Callable[[trio.SSLStream[trio.SocketStream]], Awaitable[None]]) -> Handler:
    context = server_context(good()())

    async def handle(plain: trio.SocketStream) -> None:
        stream = trio.SSLStream(plain, context, server_side=True)
        await handler(stream)
        await stream.aclose()

    return handle


def at(handler: Callable[[], Handler], *, zone: Zone = ADDRESS, truncate_udp: bool = False, **fields: Any) -> Target:
    """A server, and the fields of a monitor that looks at it; `{port}` in a text is its port."""

    @asynccontextmanager
    async def target() -> AsyncGenerator[tuple[Fields, Callable[[], Network]], None]:
        async with serving(handler()) as port, nameserver(zone, truncate_udp=truncate_udp) as (server, _):
            filled = {n: v.replace("{port}", str(port)) if isinstance(v, str) else v for n, v in fields.items()}
            if "host" in fields:
                filled["port"] = port
            yield filled, partial(this_host, server)

    return target


def redirecting() -> Handler:
    async def handle(stream: trio.SocketStream) -> None:
        request = await stream.receive_some(65536)
        await stream.send_all(OK if b"/end" in request else moved("/end"))

    return handle


async def _greet(stream: trio.SSLStream[trio.SocketStream]) -> None:
    await stream.send_all(b"220 ready\r\n")
    await stream.receive_some(100)
    await stream.send_all(b"250 fine\r\n")


async def _say_nothing(stream: trio.SSLStream[trio.SocketStream]) -> None:
    await stream.do_handshake()


def chatting(context: ssl.SSLContext | None = None, **fields: Any) -> Target:
    async def answer(request: WebSocketRequest) -> None:
        with suppress(ConnectionClosed):
            socket = await request.accept()
            await socket.send_message(await socket.get_message())

    @asynccontextmanager
    async def target() -> AsyncGenerator[tuple[Fields, Callable[[], Network]], None]:
        async with trio.open_nursery() as nursery:
            serve = partial(serve_websocket, answer, "127.0.0.1", 0, context, connect_timeout=CONNECT_WITHIN_S)
            server = await nursery.start(serve)
            url = f"ws://127.0.0.1:{server.port}/" if context is None else f"wss://localhost:{server.port}/"
            yield {"type": "websocket", "url": url, "send": "ping", "expect": "ping", **fields}, this_host
            nursery.cancel_scope.cancel()

    return target


def asking(*, chosen: bool, truncate_udp: bool = False) -> Target:
    @asynccontextmanager
    async def target() -> AsyncGenerator[tuple[Fields, Callable[[], Network]], None]:
        async with nameserver(ADDRESS, truncate_udp=truncate_udp) as (server, _):
            fields = {"type": "dns", "host": "site", "resolveType": "A"}
            if chosen:
                yield {**fields, "resolverServer": server.address, "port": server.port}, this_host
            else:
                yield fields, partial(this_host, server)

    return target


def pinging(host: str) -> Target:
    @asynccontextmanager
    async def target() -> AsyncGenerator[tuple[Fields, Callable[[], Network]], None]:
        async with nameserver(ADDRESS) as (server, _):
            yield {"type": "ping", "host": host, "packetCount": 2}, partial(this_host, server)

    return target


TARGETS: dict[str, Target] = {
    "http, by name": at(lambda: saying(OK), type="http", url="http://site:{port}/"),
    "http, by a name that TCP alone tells": at(
        lambda: saying(OK), truncate_udp=True, type="http", url="http://site:{port}/"
    ),
    "http, at the second of two addresses": at(
        lambda: saying(OK), zone=zone(site=["A 127.0.0.2", "A 127.0.0.1"]), type="http", url="http://site:{port}/"
    ),
    "http, kept": at(lambda: saying(OK), type="http", url="http://127.0.0.1:{port}/", keepAlive=True),
    "http, redirected": at(redirecting, type="http", url="http://127.0.0.1:{port}/"),
    "http, in pieces": at(
        lambda: saying(OK[:20], 0.02, OK[20:30], 0.02, OK[30:]),
        type="http",
        url="http://127.0.0.1:{port}/",
        keyword="ok",
    ),
    "http, a long request": at(
        lambda: saying(0.05, OK), type="http", method="POST", body="x" * 900_000, url="http://127.0.0.1:{port}/"
    ),
    "https": at(
        lambda: saying(OK, context=server_context(good()())), type="http", url="https://localhost:{port}/", tlsCa=ca()
    ),
    "http/2": at(
        lambda: speaking(*OK_2, context=_offering_h2()),
        type="http",
        url="https://localhost:{port}/",
        tlsCa=ca(),
        httpVersion="2",
    ),
    "tcp": at(lambda: saying(b"hello\r\n"), type="tcp", host="127.0.0.1", send="hi", expect="hello"),
    "tcp in TLS": at(
        lambda: tls(_greet), type="tcp", host="localhost", tls=True, tlsCa=ca(), send="HELP\r\n", expect="250"
    ),
    "tls": at(lambda: tls(_say_nothing), type="tls", host="localhost", tlsCa=ca()),
    "websocket": chatting(),
    "websocket in TLS": chatting(server_context(good()()), tlsCa=ca()),
    "dns": asking(chosen=False),
    "dns, of a chosen server": asking(chosen=True),
    "dns, of a chosen server by TCP": asking(chosen=True, truncate_udp=True),
}
if permitted():
    TARGETS |= {"ping": pinging("127.0.0.1"), "ping, by name": pinging("site")}


def _offering_h2() -> Any:
    context = server_context(good()())
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.mark.parametrize("name", TARGETS)
async def test_cancelled_at_any_await_no_socket_is_left(name: str) -> None:
    async with TARGETS[name]() as (fields, new_network):
        monitor = parse_monitor({"name": name, **FREQUENT, **fields}, min_interval_ms=1000)
        await _once(prepare(monitor, new_network()))  # what is made once for all checks is there
        before = await _open(None)
        for awaits in range(1, MOST_AWAITS):
            probe = prepare(monitor, new_network())
            with trio.CancelScope() as scope:
                instrument = CancelAfter(current_task(), scope, awaits)
                add_instrument(instrument)
                try:
                    with trio.fail_after(10):
                        outcome = await probe(Trace())
                finally:
                    remove_instrument(instrument)
                    probe.close()
            assert await _open(before) == before, f"cancelled at await {awaits}"
            if not scope.cancel_called:
                break
        else:
            raise AssertionError("it never came to its end")
    assert outcome.status is Status.UP, outcome.message
    assert awaits > 1, "it was cancelled before it ended"


async def _once(probe: Any) -> Outcome:
    try:
        outcome: Outcome = await probe(Trace())
    finally:
        probe.close()
    return outcome


async def _open(expected: int | None) -> int:
    """How many sockets are open when the target has had time to notice that we left; one left behind stays for good."""
    for _ in range(20 if expected is None else 400):
        await trio.sleep(0.005)
        await wait_all_tasks_blocked()
        count = len(descriptors())
        if count == expected:
            break
    return count
