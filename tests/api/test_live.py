"""/ws, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection

from peekaping.api import live
from peekaping.api.auth import ACCESS_MS, Sessions
from peekaping.api.identity import Endings, Identity
from peekaping.api.live import Client, Closing, messages_of
from peekaping.api.settings import ApiSettings
from peekaping.engine.hub import Lagged
from peekaping.engine.records import Heartbeat, Status
from peekaping.store.accounts import Role, User
from tests.api.support import Api, running, serving, until, websocket

Connect = Callable[..., AbstractAsyncContextManager["Socket"]]


class Socket:
    """A WebSocket that speaks JSON."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection

    async def send(self, message: Any) -> None:
        await self.connection.send_message(msgspec.json.encode(message).decode())

    async def receive(self) -> dict[str, Any]:
        with trio.fail_after(5):
            message: dict[str, Any] = msgspec.json.decode(await self.connection.get_message())
            return message

    async def login(self, api: Api) -> None:
        await self.send({"type": "auth", "token": api.token})
        assert await self.receive() == {"type": "auth_ok"}

    async def close_code(self) -> int:
        """The code the server closes with; what it sends before is passed over."""
        with trio.fail_after(5), suppress(ConnectionClosed):
            while True:
                await self.connection.get_message()
        assert self.connection.closed is not None
        return self.connection.closed.code


@pytest.fixture
async def connect(api: Api) -> AsyncIterator[Connect]:
    async with serving(api) as port:

        @asynccontextmanager
        async def connect(*headers: tuple[bytes, bytes]) -> AsyncIterator[Socket]:
            async with websocket(port, *headers) as connection:
                yield Socket(connection)

        yield connect


async def push(api: Api, monitor: dict[str, Any], **body: Any) -> None:
    assert (await api.call("POST", f"/push/{monitor['pushId']}", body)).status == 200


async def test_it_works_as_the_reference_shows(api: Api, connect: Connect) -> None:
    monitor = await api.push_monitor()
    async with connect() as socket:
        await socket.login(api)
        await push(api, monitor, ping=234)
        heartbeat, change = await socket.receive(), await socket.receive()
        at = heartbeat["data"]["timestamp"]
        assert heartbeat == {
            "type": "heartbeat",
            "data": {"monitorId": monitor["id"], "status": "up", "responseTime": 234, "timestamp": at},
        }
        assert change == {
            "type": "monitor_status",
            "data": {"monitorId": monitor["id"], "oldStatus": "pending", "newStatus": "up", "timestamp": at},
        }
        await push(api, monitor)
        await push(api, monitor, status="down")
        assert [(await socket.receive())["type"] for _ in range(3)] == ["heartbeat", "heartbeat", "monitor_status"]


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
async def test_a_header_of_the_handshake_logs_in_too(api: Api, connect: Connect, header: str) -> None:
    value = f"Bearer {api.token}" if header == "Authorization" else api.token or ""
    async with connect((header.encode(), value.encode())) as socket:
        assert await socket.receive() == {"type": "auth_ok"}


@pytest.mark.parametrize(
    "message", [b"{", b"[]", b'{"type":"subscribe"}', b'{"type":"auth"}', b'{"type":"auth","token":"no"}', ""]
)
async def test_whoever_does_not_log_in_first_is_closed_with_4401(
    api: Api, connect: Connect, message: bytes | str
) -> None:
    async with connect() as socket:
        await socket.connection.send_message(message)
        assert await socket.close_code() == 4401


async def test_whoever_does_not_log_in_in_time_is_closed_with_4401(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AUTHENTICATE_WITHIN_S", 0.01)
    async with connect() as socket:
        assert await socket.close_code() == 4401


async def test_a_bad_token_in_the_handshake_is_closed_with_4401(connect: Connect) -> None:
    async with connect((b"X-API-Key", b"no")) as socket:
        assert await socket.close_code() == 4401


async def test_subscribing_narrows_and_widens(api: Api, connect: Connect) -> None:
    wanted, other = await api.push_monitor("wanted"), await api.push_monitor("other")
    async with connect() as socket:
        await socket.login(api)
        await socket.send({"type": "subscribe", "monitors": [wanted["id"]]})
        assert await socket.receive() == {"type": "subscribed", "monitors": [wanted["id"]]}
        await push(api, other)
        await push(api, wanted)
        seen = [await socket.receive(), await socket.receive()]
        assert {event["data"]["monitorId"] for event in seen} == {wanted["id"]}
        await socket.send({"type": "subscribe", "monitors": None})
        assert await socket.receive() == {"type": "subscribed", "monitors": None}
        await push(api, other)
        assert (await socket.receive())["data"]["monitorId"] == other["id"]


async def test_after_narrowing_nothing_else_comes_not_even_what_was_waiting(api: Api, connect: Connect) -> None:
    wanted = await api.push_monitor("wanted")
    async with connect() as socket:
        await socket.login(api)
        await socket.send({"type": "subscribe", "monitors": [wanted["id"]]})
        await socket.receive()
        (subscription,) = api.engine._hub.subscriptions
        subscription._send.send_nowait(Heartbeat(monitor=99, at=1, status=Status.UP, message="OK"))
        await push(api, wanted)
        assert (await socket.receive())["data"]["monitorId"] == wanted["id"]


async def test_pausing_is_a_change_of_status_too(api: Api, connect: Connect) -> None:
    monitor = await api.push_monitor()
    await push(api, monitor)
    async with connect() as socket:
        await socket.login(api)
        await api.call("POST", f"/monitors/{monitor['id']}/pause")
        heartbeat, change = await socket.receive(), await socket.receive()
        assert heartbeat["data"]["status"] == "paused"
        assert (change["data"]["oldStatus"], change["data"]["newStatus"]) == ("up", "paused")


async def test_a_bad_message_is_answered_in_the_one_shape_and_changes_nothing(api: Api, connect: Connect) -> None:
    monitor = await api.push_monitor()
    async with connect() as socket:
        await socket.login(api)
        for message, code, fields in (
            ({"type": "dance"}, "UNKNOWN_TYPE", set()),
            ({}, "UNKNOWN_TYPE", set()),
            ([], "VALIDATION_ERROR", {"body"}),
            ({"type": "subscribe", "monitors": "all", "x": 1}, "VALIDATION_ERROR", {"monitors", "x"}),
            ({"type": "subscribe", "monitors": [monitor["id"], "monitor-99"]}, "VALIDATION_ERROR", {"monitors"}),
        ):
            await socket.send(message)
            answer = await socket.receive()
            assert answer["type"] == "error"
            assert set(answer["error"]) == {"code", "message", "details"}
            assert (answer["error"]["code"], set(answer["error"]["details"])) == (code, fields)
        await push(api, monitor)
        assert (await socket.receive())["type"] == "heartbeat"


async def test_more_sockets_than_a_user_may_have_are_closed_with_4429(api: Api, connect: Connect) -> None:
    async with connect() as first, connect() as s2, connect() as s3, connect() as s4, connect() as s5:
        for socket in (first, s2, s3, s4, s5):
            await socket.login(api)
        async with connect() as sixth:
            await sixth.send({"type": "auth", "token": api.token})
            assert await sixth.close_code() == 4429
        await first.connection.aclose()
        async with connect() as again:
            await again.login(api)


async def test_logging_out_closes_the_sessions_sockets(api: Api, connect: Connect) -> None:
    async with connect() as socket, connect() as other:
        await socket.login(api)
        token, api.token = api.token, (await api.login()).json["accessToken"]
        await other.login(api)
        api.token = token
        await api.call("POST", "/auth/logout")
        assert await socket.close_code() == 4401
        await other.send({"type": "subscribe", "monitors": None})
        assert (await other.receive())["type"] == "subscribed"


async def test_a_key_that_is_revoked_while_a_socket_opens_closes_it(
    api: Api, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, run = await api.key(), Client.run

    async def run_late(client: Client, *arguments: Any) -> None:
        assert (await api.call("DELETE", f"/api-keys/{key['id']}")).status == 204
        await run(client, *arguments)

    monkeypatch.setattr(Client, "run", run_late)
    async with connect((b"X-API-Key", key["key"].encode())) as socket:
        assert await socket.close_code() == 4401


async def test_a_socket_ends_with_its_token(api: Api, connect: Connect) -> None:
    api.clock.ahead_ms = 100 - ACCESS_MS  # a token of the past, with a tenth of a second left
    api.token = (await api.login()).json["accessToken"]
    api.clock.ahead_ms = 0
    async with connect() as socket:
        await socket.send({"type": "auth", "token": api.token})
        assert await socket.close_code() == 4401


async def test_a_socket_lives_on_with_the_next_token(api: Api, connect: Connect) -> None:
    tokens = (await api.login()).json
    api.token = tokens["accessToken"]
    async with connect() as socket:
        await socket.login(api)
        renewed = (await api.call("POST", "/auth/refresh", {"refreshToken": tokens["refreshToken"]})).json
        await socket.send({"type": "auth", "token": renewed["accessToken"]})
        assert await socket.receive() == {"type": "auth_ok"}
        await socket.send({"type": "auth", "token": (await api.login()).json["accessToken"]})
        assert (await socket.receive())["error"]["code"] == "UNAUTHORIZED"


async def test_the_next_token_puts_off_the_end(autojump_clock: trio.testing.MockClock) -> None:
    def utc_ms() -> int:
        return round(trio.current_time() * 1000)

    def token() -> str:
        return sessions._tokens(user, "session", "", utc_ms()).access

    async def identify(token: str, now_ms: int) -> Identity:
        return sessions.identify(token, now_ms)

    async def watch() -> None:
        with pytest.raises(Closing):
            await client._until_logged_out(trio.Event())
        ended_at_ms.append(utc_ms())

    nothing: Any = None  # neither accounts nor engine have a part in this
    user = User(1, "ada@example.com", "Ada", "hash", 0, workspace=1, role=Role.VIEWER, operator=False, has_totp=False)
    sessions = Sessions(nothing, Endings(), b"a key of thirty-two bytes, or so.", [], 0)
    client = Client(nothing, identify, utc_ms, sessions.identify(token(), utc_ms()))
    ended_at_ms: list[int] = []
    start_ms = utc_ms()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await trio.sleep(600)
        assert await client._reply_to({"type": "auth", "token": token()}, nothing) == {"type": "auth_ok"}
    assert ended_at_ms[0] - start_ms == pytest.approx(600_000 + ACCESS_MS, abs=1000)


async def test_pages_of_other_sites_are_refused(connect: Connect) -> None:
    with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True, allow_unwrapped=True) as refusal:
        async with connect((b"Origin", b"https://evil.example")):
            raise AssertionError("the handshake succeeded")
    rejected = refusal.value.exceptions[0] if isinstance(refusal.value, BaseExceptionGroup) else refusal.value
    assert isinstance(rejected, ConnectionRejected)
    assert rejected.status_code == 403
    assert msgspec.json.decode(rejected.body or b"")["error"]["code"] == "FORBIDDEN"


async def test_pages_of_this_server_are_welcome(api: Api) -> None:
    async with (
        serving(api) as port,
        websocket(port, (b"Origin", f"http://127.0.0.1:{port}".encode())) as connection,
    ):
        await Socket(connection).login(api)


async def test_a_stopping_server_closes_with_1001(api: Api, connect: Connect) -> None:
    async with connect() as socket, connect() as stranger:
        await socket.login(api)
        api.stopping.set()
        assert await socket.close_code() == 1001
        assert await stranger.close_code() == 1001


async def test_a_client_that_sends_without_end_is_read(api: Api, connect: Connect) -> None:
    """Past the servers' buffers a connection that nobody reads would never learn that its client has gone."""
    async with connect() as socket:
        await socket.login(api)
        for _ in range(100):
            await socket.send({"type": "subscribe", "monitors": None})
        for _ in range(100):
            assert (await socket.receive())["type"] == "subscribed"
    with trio.fail_after(5):
        await until(lambda: not api.engine.statistics().subscribers)


async def test_too_large_a_message_ends_the_connection(api: Api, connect: Connect) -> None:
    async with connect() as socket:
        await socket.login(api)
        with suppress(ConnectionClosed):
            await socket.connection.send_message("x" * (64 * 1024 + 1))
        assert await socket.close_code() == 1009


async def test_what_a_slow_reader_missed_is_said(api: Api, connect: Connect) -> None:
    async with connect() as socket:
        await socket.login(api)
        (subscription,) = api.engine._hub.subscriptions
        subscription._send.send_nowait(Lagged(42))
        assert await socket.receive() == {"type": "lagged", "data": {"dropped": 42}}


async def test_a_reader_that_was_cut_off_is_closed(api: Api, connect: Connect) -> None:
    async with connect() as socket:
        await socket.login(api)
        (subscription,) = api.engine._hub.subscriptions
        subscription.end()
        assert await socket.close_code() == 1008


async def test_no_limit_means_no_limit(tmp_path: Path) -> None:
    settings = ApiSettings(ws_per_user=0, rate_limit_per_hour=0, rate_limit_per_minute=0)
    async with running(tmp_path, settings) as api, serving(api) as port, trio.open_nursery() as nursery:
        for _ in range(8):
            connection = await nursery.start(_held_open, port)
            await Socket(connection).login(api)
        nursery.cancel_scope.cancel()


async def _held_open(port: int, task_status: trio.TaskStatus[WebSocketConnection]) -> None:
    async with websocket(port) as connection:
        task_status.started(connection)
        await trio.sleep_forever()


def test_a_heartbeat_is_encoded_once_however_many_listen() -> None:
    first = Heartbeat(monitor=1, at=1_705_746_600_000, status=Status.UP, message="OK", previous=Status.UP)
    second = Heartbeat(monitor=1, at=1_705_746_600_000, status=Status.UP, message="OK", previous=Status.UP)
    assert messages_of(first) is messages_of(second)
