"""Sockets, connections and shutdown, with raw streams."""

from __future__ import annotations

import gc
import os
import re
import socket
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from quart import Request, Response

from peekaping.api import protocols, server
from peekaping.api.exchange import Exchange
from peekaping.api.server import CannotListen, listen, serve
from peekaping.engine.records import Status
from tests.api.support import Api, serving, until, websocket
from tests.api.wire import GET, UPGRADE, answer, until_closed


async def test_a_connection_serves_request_after_request(port: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for _ in range(3):
            await stream.send_all(GET)
            assert (await answer(stream)).startswith(b"HTTP/1.1 200")


async def test_a_client_that_wants_to_close_is_let_go(port: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert (await until_closed(stream)).startswith(b"HTTP/1.1 200")


async def test_hundreds_of_short_connections_leave_nothing_open(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 20)  # what is left open would keep others out
    async with serving(api) as port:
        before = len(os.listdir("/proc/self/fd"))
        for n in range(600):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(GET if n % 3 else GET[:20])  # some go before they have said anything whole
                if n % 3:
                    assert (await answer(stream)).startswith(b"HTTP/1.1 200")
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_more_connections_than_there_may_be_are_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    async with (
        serving(api) as port,
        await trio.open_tcp_stream("127.0.0.1", port) as first,
        await trio.open_tcp_stream("127.0.0.1", port) as second,
    ):
        for stream in (first, second):
            await stream.send_all(GET)
            await answer(stream)
        for _ in range(3):
            async with await trio.open_tcp_stream("127.0.0.1", port) as third:
                assert await until_closed(third) == b""
        assert [record.message for record in caplog.records] == [
            "all 2 connections there may be are taken; others are refused"
        ]
        await first.aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        async with await trio.open_tcp_stream("127.0.0.1", port) as fourth:
            await fourth.send_all(GET)
            assert (await answer(fourth)).startswith(b"HTTP/1.1 200")


async def test_requests_sent_ahead_are_answered_in_their_order(port: int) -> None:
    paths = (b"/health", b"/nothing", b"/api/v1/monitors")
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in paths))
        await stream.send_all(GET.replace(b"Host", b"Connection: close\r\nHost"))
        data = await until_closed(stream)
    assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"200", b"404", b"401", b"200"]


async def test_a_body_that_comes_bit_by_bit_is_read_to_its_end(api: Api, port: int) -> None:
    monitor = await api.push_monitor()
    body = b'{"status":"down","message":"bit by bit"}'
    head = f"POST /api/v1/push/{monitor['pushId']} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for part in (head[:30].encode(), head[30:].encode(), body[:1], body[1:7], body[7:]):
            await stream.send_all(part)
            await trio.testing.wait_all_tasks_blocked(0.005)
        assert b'{"ok":true}' in await answer(stream)
        await stream.send_all(GET)
        assert (await answer(stream)).startswith(b"HTTP/1.1 200")
    assert api.engine.get(monitor["id"]).state.status is Status.DOWN


async def test_a_request_leaves_nothing_to_the_garbage_collector(api: Api, port: int) -> None:
    monitor = await api.push_monitor()
    push = f"POST /api/v1/push/{monitor['pushId']} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    gc.collect()
    gc.disable()
    try:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            for request in (GET, push, GET.replace(b"/health", b"/nothing")):
                await stream.send_all(request)
                await answer(stream)
            await trio.testing.wait_all_tasks_blocked(0.005)
            left = [each for each in gc.get_objects() if isinstance(each, Exchange | Request | Response)]
    finally:
        gc.enable()
    assert left == []


async def test_a_client_that_takes_too_long_for_an_answer_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "SEND_WITHIN_S", 0.2)
    for n in range(100):
        await api.push_monitor(f"job {n} {'x' * 150}")
    (listener,) = listen("127.0.0.1", 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    request = f"GET /api/v1/monitors?limit=100 HTTP/1.1\r\nHost: x\r\nX-API-Key: {api.token}\r\n\r\n".encode()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, api.app, [listener], stopping=api.stopping))
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(listener.getsockname())
            client.sendall(request)
            await trio.sleep(1)
            client.settimeout(5)
            data = b""
            with suppress(ConnectionResetError):
                while more := client.recv(65536):
                    data += more
            assert 0 < len(data) < 40_000, "less than there was to send"
        api.stopping.set()


async def test_too_large_a_body_gets_its_413_before_the_connection_ends(port: int) -> None:
    size = 5 * 1024 * 1024
    head = f"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(head)
        await stream.send_all(b" " * size)
        data = await answer(stream)
    assert data.startswith(b"HTTP/1.1 413")
    assert b'"PAYLOAD_TOO_LARGE"' in data


async def test_a_body_without_a_length_is_measured_too(port: int) -> None:
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(head)
        for _ in range(20):
            await stream.send_all(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await stream.send_all(b"0\r\n\r\n")
        assert (await answer(stream)).startswith(b"HTTP/1.1 413")


FRAME = b"\x81\x81\x00\x00\x00\x00x"


CLOSE_FRAME = b"\x88\x82\x00\x00\x00\x00\x03\xe8"


@pytest.mark.parametrize(
    "data",
    [
        UPGRADE + FRAME,  # before the upgrade is answered: raises within Hypercorn 0.18, and stops a server run by it
        UPGRADE.replace(b"Host: x", b"Host: x\r\nContent-Length: 3") + b"abc",
        UPGRADE + CLOSE_FRAME + FRAME,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"garbage " * 20,
        b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET ?query HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
async def test_nothing_that_one_client_sends_takes_others_with_it(
    api: Api, port: int, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with websocket(port, (b"X-API-Key", (api.token or "").encode())) as witness:
        await witness.get_message()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(data)
            await stream.send_eof()
            with suppress(trio.BrokenResourceError):
                await until_closed(stream)
        await witness.send_message('{"type":"subscribe"}')
        assert msgspec.json.decode(await witness.get_message())["type"] == "subscribed"
    if data.startswith(b"GET ?"):
        assert caplog.text == ""


async def test_a_stop_does_not_wait_for_idle_connections(api: Api, port: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as idle:
        await idle.send_all(GET)
        await answer(idle)
        api.stopping.set()
        await until_closed(idle, within_s=server.GRACE_S)


async def test_a_stop_lets_a_running_request_finish(api: Api, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = trio.Event(), trio.Event()

    async def slow(workspace: int) -> Any:
        asked.set()
        await go_on.wait()
        raise ValueError("answered with a 500")

    monkeypatch.setattr(api.engine, "overview", slow)
    request = f"GET /api/v1/stats/overview HTTP/1.1\r\nHost: x\r\nX-API-Key: {api.token}\r\n\r\n".encode()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        await asked.wait()
        api.stopping.set()
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
        assert (await until_closed(stream)).startswith(b"HTTP/1.1 500")


async def stuck_client(api: Api, listener: socket.socket) -> socket.socket:
    """Opens /ws, asks for an answer of 60 kB, which is more than the buffers hold, and reads none of it."""
    monitor = await api.push_monitor()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(listener.getsockname())
    client.sendall(UPGRADE.replace(b"Host: x", f"Host: x\r\nX-API-Key: {api.token}".encode()))
    await until(lambda: api.engine.statistics().subscribers)
    message = msgspec.json.encode({"type": "subscribe", "monitors": [monitor["id"]] * 5000})
    client.sendall(b"\x81\xfe" + len(message).to_bytes(2, "big") + b"\x00\x00\x00\x00" + message)
    (subscription,) = api.engine._hub.subscriptions
    await until(lambda: subscription._monitors is not subscription._everything)
    await trio.testing.wait_all_tasks_blocked(0.01)
    return client


@pytest.mark.parametrize("how", ["stopped", "cancelled"])
async def test_a_server_ends_in_time_with_a_client_that_does_not_read(api: Api, how: str) -> None:
    (listener,) = listen("127.0.0.1", 0)
    client: socket.socket | None = None
    with trio.fail_after(20) as too_late:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve, api.app, [listener], stopping=api.stopping))
            client = await stuck_client(api, listener)
            too_late.deadline = trio.current_time() + server.GRACE_S + 1
            if how == "stopped":
                api.stopping.set()
            else:
                nursery.cancel_scope.cancel()
    client.close()
    assert listener.fileno() == -1


async def test_a_cancelled_server_leaves_nothing_open(api: Api) -> None:
    (listener,) = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, api.app, [listener], stopping=api.stopping))
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(GET)
            await answer(stream)
            nursery.cancel_scope.cancel()
    assert listener.fileno() == -1


async def test_a_stalled_or_vanished_client_is_the_kernels_to_drop(api: Api) -> None:
    (listener,) = listen("127.0.0.1", 0)
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", listener.getsockname()[1])
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == server.STALLED_CLIENT_MS
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
        await stream.aclose()
    finally:
        listener.close()


async def test_a_json_answer_over_a_real_connection_is_whole(api: Api, port: int) -> None:
    for n in range(100):
        await api.push_monitor(f"job {n}")
    request = f"GET /api/v1/monitors?limit=100 HTTP/1.1\r\nHost: x\r\nX-API-Key: {api.token}\r\n\r\n".encode()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        data = await answer(stream)
    assert len(msgspec.json.decode(data.partition(b"\r\n\r\n")[2])["monitors"]) == 100


def test_a_free_port_is_the_same_on_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_addresses(*args: Any, **kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2")]

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    sockets = listen("twofold", 0)
    try:
        assert {sock.getsockname()[0] for sock in sockets} == {"127.0.0.1", "127.0.0.2"}
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_a_port_in_use_is_one_line_that_says_what_to_do() -> None:
    (taken,) = listen("127.0.0.1", 0)
    try:
        with pytest.raises(CannotListen, match=r"^cannot listen on 127\.0\.0\.1:\d+: the port is in use; .*$"):
            listen("127.0.0.1", taken.getsockname()[1])
    finally:
        taken.close()


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("no-such-host.invalid", 1),
        ("192.0.2.1", 8383),
        ("127.0.0.1", 70_000),
        ("127.0.0.1", -1),
        ("a" * 300, 1),
        ("::g", 1),
    ],
)
def test_a_bad_address_is_one_line_that_says_what_to_do(host: str, port: int) -> None:
    with pytest.raises(CannotListen) as refusal:
        listen(host, port)
    assert "\n" not in str(refusal.value)
    assert "; " in str(refusal.value)
