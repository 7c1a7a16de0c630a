"""Over HTTP/2: one client's requests share a connection, and none spoils it for the others."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import count, pairwise
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET
from typing import Any

import msgspec
import pytest
import trio
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamReset
from h2.settings import SettingCodes

from peekaping.api import exchange, protocols, server
from peekaping.api.server import listen, serve
from peekaping.engine.ports import StoreFailed
from tests.api.support import Api, serving
from tests.api.wire import Http2, http2, until_closed


@pytest.fixture
async def client(port: int) -> AsyncIterator[Http2]:
    async with http2(port) as client:
        yield client


async def test_a_request_is_taken_back_and_the_next_is_answered(
    api: Api, client: Http2, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, gone = trio.Event(), trio.Event()

    async def slow(workspace: int) -> Any:
        asked.set()
        try:
            await trio.sleep_forever()
        finally:
            gone.set()

    monkeypatch.setattr(api.engine, "overview", slow)
    key = ("x-api-key", api.token or "")
    taken_back = client.request("/api/v1/stats/overview", key)
    await client.flush()
    await asked.wait()
    client.frames.reset_stream(taken_back)
    wanted = client.request("/api/v1/monitors", key)
    status, body = await client.answer(wanted)
    assert status == 200
    assert msgspec.json.decode(body)["monitors"] == []
    with trio.fail_after(5):
        await gone.wait()


async def test_an_upload_that_is_answered_early_leaves_the_other_requests_alone(
    client: Http2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "REST_OF_BODY_WITHIN_S", 0.05)
    upload = client.request("/api/v1/monitors", method="POST", end=False)
    client.frames.send_data(upload, b"{")
    assert (await client.answer(upload))[0] == 401
    for _ in range(10):  # more than the windows hold, which are the other requests' too
        while client.frames.local_flow_control_window(upload) < 16_000:
            await client.next()
        client.frames.send_data(upload, b"x" * 16_000)
        await client.flush()
    assert (await client.answer(client.request()))[0] == 200


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(lambda client: client.request(b"/\xc3\xbc"), id="a path that is not ASCII"),
        pytest.param(lambda client: client.request(method="CONNECT"), id="CONNECT"),
    ],
)
async def test_a_request_that_cannot_be_is_refused_alone(client: Http2, refused: Callable[[Http2], int]) -> None:
    wrong, right = refused(client), client.request()
    assert (await client.answer(right))[0] == 200
    await client.until(StreamReset, wrong)


async def test_priorities_are_ignored(client: Http2) -> None:
    for n in range(1100):
        client.frames.prioritize(2 * n + 1001, weight=10)
    assert (await client.answer(client.request()))[0] == 200


async def test_the_head_does_not_wait_for_the_window(client: Http2) -> None:
    client.frames.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    stream = client.request()
    await client.until(ResponseReceived, stream)
    client.frames.increment_flow_control_window(1000, stream)
    assert (await client.answer(stream))[0] == 200


async def test_an_answer_larger_than_the_window_comes_whole(client: Http2) -> None:
    status, body = await client.answer(client.request("/openapi.json"))
    assert status == 200
    assert len(body) > 100_000
    assert "/api/v1/monitors" in msgspec.json.decode(body)["paths"]


async def test_an_export_that_breaks_off_is_reset(api: Api, client: Http2, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = await api.push_monitor("Shop")
    for _ in range(3):
        await api.call("POST", f"/push/{monitor['pushId']}")
    heartbeats, calls = api.engine.heartbeats, count(1)

    async def break_off(*args: Any, **options: Any) -> Any:
        if next(calls) == 2:
            raise StoreFailed("the disk is full")
        return await heartbeats(*args, **options)

    monkeypatch.setattr(api.engine, "heartbeats", break_off)
    export = client.request(f"/api/v1/monitors/{monitor['id']}/heartbeats.csv", ("x-api-key", api.token or ""))
    await client.until(StreamReset, export)
    assert (await client.answer(client.request()))[0] == 200


async def test_a_client_that_reads_nothing_and_goes_leaves_no_error_behind(
    api: Api, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    sock = trio.socket.socket()
    sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
    await sock.connect(("127.0.0.1", port))
    client = Http2(trio.SocketStream(sock))
    client.frames.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
    client.frames.increment_flow_control_window(2**31 - 1 - 65535)
    for _ in range(60):
        client.request("/openapi.json")
    await client.flush()
    await trio.sleep(1)  # the first answers fill the socket, the others wait for it
    for _ in range(8):
        client.request()
    await client.flush()
    await trio.sleep(0.2)
    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    async with http2(port) as another:
        assert (await another.answer(another.request()))[0] == 200
    assert caplog.records == []


async def test_a_client_that_keeps_its_window_closed_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "SEND_WITHIN_S", 0.05)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        client = Http2(stream)
        client.frames.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.request()
        await client.flush()
        await until_closed(stream)


def nothing(client: Http2) -> None:
    pass


@pytest.mark.parametrize("said", [nothing, Http2.request, partial(Http2.request, end=False)])
async def test_a_client_that_falls_silent_is_let_go(
    api: Api, monkeypatch: pytest.MonkeyPatch, said: Callable[[Http2], object]
) -> None:
    monkeypatch.setattr(server, "IDLE_S", 0.05)
    monkeypatch.setattr(exchange, "REST_OF_BODY_WITHIN_S", 0.05)
    async with serving(api) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        client = Http2(stream)
        said(client)
        await client.flush()
        await until_closed(stream)


async def test_a_client_that_says_no_more_than_the_preface_is_let_go(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", 0.05)
    async with serving(api) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        await until_closed(stream)


async def test_no_request_of_a_long_connection_is_lost() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    (listener,) = listen("127.0.0.1", 0)
    stopping = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, app, [listener], stopping=stopping))
        async with http2(listener.getsockname()[1]) as client:
            for _ in range(1100):
                assert (await client.answer(client.request()))[0] == 204
                client.seen.clear()
        stopping.set()


@pytest.mark.parametrize("reset", [False, True])
async def test_requests_in_one_packet_begin_one_in_each_round_of_the_loop(reset: bool) -> None:
    begun, in_a_round = 0, list[int]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal begun
        begun += 1

    (listener,) = listen("127.0.0.1", 0)
    stopping = trio.Event()
    frames = H2Connection()
    frames.initiate_connection()
    for number in range(1, 100, 2):
        frames.send_headers(
            number, [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")], end_stream=True
        )
        if reset:
            frames.reset_stream(number)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, app, [listener], stopping=stopping))
        async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
            await stream.send_all(frames.data_to_send())
            with trio.fail_after(5):
                while begun < 50:
                    await trio.lowlevel.checkpoint()
                    in_a_round.append(begun)
        stopping.set()
    assert max(later - sooner for sooner, later in pairwise(in_a_round)) <= 2, "one of that round, one of this"
