"""One client's connection: what ends it, and what it may not do to others. Raw bytes over HTTP/1.1."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from peekaping.api import connection, exchange, live, server
from tests.api.support import Api, serving
from tests.api.wire import GET, UPGRADE, answer, until_closed


class Slow:
    """A route that answers when it is let go on."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.gone, self._go_on = trio.Event(), trio.Event(), trio.Event()
        self.request = f"GET /api/v1/stats/overview HTTP/1.1\r\nHost: x\r\nX-API-Key: {api.token}\r\n\r\n".encode()
        monkeypatch.setattr(api.engine, "overview", self._overview)

    async def _overview(self, workspace: int) -> Any:
        self.asked.set()
        try:
            await self._go_on.wait()
        finally:
            self.gone.set()
        raise ValueError("answered with a 500")

    def go_on(self) -> None:
        self._go_on.set()


async def refusal(port: int, data: bytes) -> bytes:
    """What is answered before the connection is closed; closed it must be."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(data)
        return await until_closed(stream)


@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_a_client_that_goes_cancels_its_request(
    api: Api, port: int, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(connection, "AFTER_THE_END_S", 0.05 if how == "closes" else 1000)
    slow = Slow(api, monkeypatch)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(slow.request)
        await slow.asked.wait()
        if how == "resets":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with trio.fail_after(5):
        await slow.gone.wait()


async def test_a_client_that_has_ended_its_side_gets_its_answer(
    api: Api, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(api, monkeypatch)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(slow.request)
        await stream.send_eof()
        await slow.asked.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        slow.go_on()
        assert (await until_closed(stream)).startswith(b"HTTP/1.1 500")


HEAD = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("length", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_is_not_waited_for_without_end(
    api: Api, port: int, monkeypatch: pytest.MonkeyPatch, length: bytes
) -> None:
    monkeypatch.setattr(exchange, "REST_OF_BODY_WITHIN_S", 0.05)
    api.app.config["BODY_TIMEOUT"] = 0.05
    assert (await refusal(port, HEAD + length + b"\r\n\r\n")).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(("path", "status"), [(b"/health", b"200"), (b"/nothing", b"404")])
async def test_who_needs_no_body_does_not_wait_for_one(
    port: int, monkeypatch: pytest.MonkeyPatch, path: bytes, status: bytes
) -> None:
    monkeypatch.setattr(exchange, "REST_OF_BODY_WITHIN_S", 0.05)
    data = await refusal(port, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 " + status)


async def test_two_lengths_of_one_body_are_refused(port: int) -> None:
    """Else a proxy that goes by the other one would take what follows for somebody else's request."""
    both = HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    data = await refusal(port, both + GET)
    assert data.startswith(b"HTTP/1.1 400")
    assert data.count(b"HTTP/1.1") == 1


async def test_a_target_that_is_none_is_refused(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert (await refusal(port, GET.replace(b"/health", b"http://[", 1))).startswith(b"HTTP/1.1 400")
    assert caplog.records == []


async def test_the_upgrade_to_http2_is_not_taken(port: int) -> None:
    """A proxy that forwards these headers would see a tunnel from then on, and none of its rules would hold in it."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nHost"
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(GET.replace(b"Host", upgrade))
        assert (await answer(stream)).startswith(b"HTTP/1.1 200")


FRAME = b"\x81\x81\x00\x00\x00\x00x"


@pytest.mark.parametrize(
    "handshake",
    [
        pytest.param(UPGRADE.replace(b"Sec-WebSocket-Key", b"X"), id="without a key"),
        pytest.param(UPGRADE.replace(b"Version: 13", b"Version: 8"), id="of another version"),
        pytest.param(UPGRADE + FRAME, id="with a frame too early"),
    ],
)
async def test_a_handshake_that_is_refused_ends_the_connection(
    port: int, monkeypatch: pytest.MonkeyPatch, handshake: bytes
) -> None:
    monkeypatch.setattr(live, "AUTHENTICATE_WITHIN_S", 1000)
    with suppress(trio.BrokenResourceError):
        assert b" 400 " in await refusal(port, handshake)


async def test_a_websocket_is_not_compressed(port: int) -> None:
    """199 KiB of zeros are 200 MB: anybody could take the server's memory, and its time, without a login."""
    offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nHost"
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(UPGRADE.replace(b"Host", offer))
        head = (await stream.receive_some()).lower()
    assert head.startswith(b"http/1.1 101")
    assert b"extensions" not in head


async def test_a_websocket_is_closed_at_once_over_too_large_a_message(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AUTHENTICATE_WITHIN_S", 1000)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(UPGRADE)
        await stream.receive_some()
        await stream.send_all(b"\x81\xff" + (2**40).to_bytes(8, "big") + b"\x00\x00\x00\x00" + b"x" * (64 * 1024 + 1))
        assert await until_closed(stream) == b"\x88\x02\x03\xf1", "1009"


async def test_a_flood_of_pings_lets_others_have_their_turn(port: int) -> None:
    """What comes back in one round of the event loop is bounded, however much has arrived."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(UPGRADE)
        await stream.receive_some()
        await stream.send_all(b"\x89\x80\x00\x00\x00\x00" * 8000)
        left, in_a_round = 8000 * 2, list[int]()
        with trio.fail_after(5), socket.socket(fileno=os.dup(stream.socket.fileno())) as client:
            while left:
                await trio.lowlevel.checkpoint()
                with suppress(BlockingIOError):
                    in_a_round.append(len(client.recv(2**20, socket.MSG_DONTWAIT)))
                    left -= in_a_round[-1]
    assert max(in_a_round) <= 4096


async def test_a_silent_connection_is_closed_in_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", 0.05)
    async with serving(api) as port:
        for data in (b"", GET[:20], GET):
            await refusal(port, data)
