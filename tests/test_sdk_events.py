"""Live events through bad days: refused, cut off, silent, cancelled. The server is scripted, the sockets are real."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from peekaping import ApiError, AsyncPeekapingClient, ClientError, events
from peekaping.events import EventStream

EVENT = {"type": "heartbeat", "data": {"monitorId": "monitor-1", "status": "up"}}
Script = Callable[[WebSocketConnection, str], Awaitable[None]]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FIRST_PAUSE_S", 0.01)


@asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[str]:
    """A WebSocket server that plays one script for each connection, the last for all that follow.

    A script gets the connection and the token of its first message. When it returns the connection is dropped.
    """
    remaining = list(scripts)

    async def handle(request: WebSocketRequest) -> None:
        websocket = await request.accept()
        try:
            token = json.loads(await websocket.get_message())["token"]
            await (remaining.pop(0) if len(remaining) > 1 else remaining[0])(websocket, token)
        except ConnectionClosed:
            pass
        finally:
            await trio.aclose_forcefully(websocket._stream)

    async with trio.open_nursery() as nursery:
        server: Any = await nursery.start(serve_websocket, handle, "127.0.0.1", 0, None)
        yield f"ws://127.0.0.1:{server.port}/ws"
        nursery.cancel_scope.cancel()


async def send(websocket: WebSocketConnection, *messages: object) -> None:
    for message in messages:
        await websocket.send_message(json.dumps(message))


async def tell_one_event(websocket: WebSocketConnection, token: str) -> None:
    await send(websocket, {"type": "auth_ok"}, EVENT)


async def stay(websocket: WebSocketConnection, token: str) -> None:
    await send(websocket, {"type": "auth_ok"}, EVENT)
    await websocket.get_message()  # ends when the client leaves


def note_in(left: trio.Event) -> Script:
    async def script(websocket: WebSocketConnection, token: str) -> None:
        try:
            await stay(websocket, token)
        finally:
            left.set()

    return script


def refuse(code: int) -> Script:
    async def script(websocket: WebSocketConnection, token: str) -> None:
        await websocket.aclose(code, "no")

    return script


@asynccontextmanager
async def listening(url: str, *tokens: str) -> AsyncIterator[EventStream]:
    """A stream of events whose login gives these tokens, a new one whenever one was rejected."""
    remaining = list(tokens)

    async def token(rejected: str | None) -> str | None:
        await trio.lowlevel.checkpoint()
        if rejected is not None and len(remaining) > 1:
            remaining.pop(0)
        return remaining[0]

    with trio.fail_after(10):
        await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as nursery:
            with EventStream(nursery, url, token) as stream:
                yield stream


def sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:  # that of the listing itself
            continue
    return count


async def test_it_works() -> None:
    async with serving(stay) as url, listening(url, "token") as stream:
        assert (await anext(stream))["type"] == "connected"
        assert await anext(stream) == EVENT


async def test_a_lost_connection_is_made_again_and_told() -> None:
    async with serving(tell_one_event) as url, listening(url, "token") as stream:
        types = [(await anext(stream))["type"] for _ in range(6)]
    assert types == ["connected", "heartbeat"] * 3


async def test_a_server_that_is_away_is_waited_for() -> None:
    async with serving(stay) as url:
        pass
    async with listening(url, "token") as stream:
        with trio.move_on_after(0.1) as waiting:
            await anext(stream)
        assert waiting.cancelled_caught


async def test_a_rejected_token_is_replaced() -> None:
    seen: list[str] = []

    async def note(websocket: WebSocketConnection, token: str) -> None:
        seen.append(token)
        await stay(websocket, token)

    async with serving(refuse(4401), note) as url, listening(url, "old", "new") as stream:
        assert (await anext(stream))["type"] == "connected"
    assert seen == ["new"]


async def test_a_token_that_cannot_be_replaced_is_an_error() -> None:
    async with serving(refuse(4401)) as url, listening(url, "key") as stream:
        with pytest.raises(ApiError) as caught:
            await anext(stream)
    assert caught.value.status == 401


async def test_a_key_whose_connection_was_ended_is_tried_once_more() -> None:
    """Its user logged out everywhere, say: that ends the connection, not the key."""

    async def end(websocket: WebSocketConnection, token: str) -> None:
        await send(websocket, {"type": "auth_ok"})
        await websocket.aclose(4401, "logged out")

    async with serving(end, end, stay, refuse(4401)) as url, listening(url, "key") as stream:
        types = [(await anext(stream))["type"] for _ in range(4)]
    assert types == ["connected", "connected", "connected", "heartbeat"]
    async with serving(end, refuse(4401)) as url, listening(url, "key") as stream:
        assert (await anext(stream))["type"] == "connected"
        with pytest.raises(ApiError) as caught:
            await anext(stream)
    assert caught.value.status == 401


async def test_a_login_that_cannot_be_sent_is_an_error() -> None:
    async with AsyncPeekapingClient("http://127.0.0.1:1", email="me@example.com", password="\ud800") as client:
        with trio.fail_after(10), pytest.raises(ClientError, match="cannot be sent"):
            await anext(client.events())


async def test_too_many_connections_is_an_error_at_first() -> None:
    async with serving(refuse(4429)) as url, listening(url, "token") as stream:
        with pytest.raises(ApiError) as caught:
            await anext(stream)
    assert caught.value.status == 429


async def test_too_many_connections_passes_when_the_old_one_is_our_own() -> None:
    async with serving(tell_one_event, refuse(4429), stay) as url, listening(url, "token") as stream:
        types = [(await anext(stream))["type"] for _ in range(4)]
    assert types == ["connected", "heartbeat"] * 2


async def test_a_renewed_token_is_shown_before_the_old_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RENEW_EVERY_S", 0.01)
    shown: list[str] = []
    current = ["first"]

    async def note(websocket: WebSocketConnection, token: str) -> None:
        shown.append(token)
        await send(websocket, {"type": "auth_ok"})
        current[0] = "second"
        shown.append(json.loads(await websocket.get_message())["token"])
        await send(websocket, {"type": "auth_ok"}, EVENT)
        await trio.sleep_forever()

    async def token(rejected: str | None) -> str | None:
        await trio.lowlevel.checkpoint()
        return current[0]

    with trio.fail_after(10):
        async with serving(note) as url, trio.open_nursery() as nursery:
            with EventStream(nursery, url, token) as stream:
                assert [(await anext(stream))["type"] for _ in range(2)] == ["connected", "heartbeat"]
    assert shown == ["first", "second"]


async def test_a_server_that_vanished_without_a_word_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "SILENCE_S", 0.02)
    monkeypatch.setattr(events, "CONNECT_TIMEOUT_S", 0.5)

    async def vanish(websocket: WebSocketConnection, token: str) -> None:
        await send(websocket, {"type": "auth_ok"})
        websocket._reader_running = False  # from now on its reader leaves pings unanswered
        await trio.sleep_forever()

    async with serving(vanish, stay) as url, listening(url, "token") as stream:
        types = [(await anext(stream))["type"] for _ in range(3)]
    assert types == ["connected", "connected", "heartbeat"]


async def test_cancelling_the_loop_closes_the_connection() -> None:
    left = trio.Event()
    async with serving(note_in(left)) as url, listening(url, "token") as stream:
        with trio.CancelScope() as scope:
            async for event in stream:
                if event == EVENT:
                    scope.cancel()
        await left.wait()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_leaving_the_block_closes_the_connection() -> None:
    left = trio.Event()
    async with serving(note_in(left)) as url, listening(url, "token") as stream:
        async for event in stream:
            if event == EVENT:
                break
        stream.close()
        await left.wait()


async def test_cancelling_in_the_middle_of_the_handshake_leaves_no_socket() -> None:
    (silent,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with silent:
        before = sockets()
        url = f"ws://127.0.0.1:{silent.socket.getsockname()[1]}/ws"
        async with listening(url, "token") as stream:
            with trio.move_on_after(0.05):
                await anext(stream)
        assert sockets() == before


async def test_an_error_in_the_loop_comes_out_as_it_is_and_closes_the_connection() -> None:
    async def fail() -> None:
        async with AsyncPeekapingClient(url.replace("ws://", "http://").removesuffix("/ws"), "key") as client:
            async for event in client.events():
                raise KeyError(event["type"])

    left = trio.Event()
    async with serving(note_in(left)) as url:
        with pytest.raises(KeyError, match="connected"):
            await fail()
        with trio.fail_after(10):
            await left.wait()


def test_events_need_the_client_to_be_open() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        AsyncPeekapingClient("http://127.0.0.1:1").events()
