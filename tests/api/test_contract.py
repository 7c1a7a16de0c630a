"""The API reference's samples, sent as they stand there, and their answers compared with what it shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from peekaping.api.passwords import hash_password
from peekaping.api.settings import ApiSettings
from peekaping.engine.net.connection import Connection
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.tls import Tls
from peekaping.engine.net.trace import Trace
from peekaping.engine.records import iso
from tests.api.support import UNLIMITED, Answer, Api, running, serving, websocket
from tests.engine.targets import serving as target
from tests.samples import differences, json_sample, sample


class Everywhere(HostNetwork):
    """A network in which every name is one web server of this host, so that a sample's addresses can be watched."""

    def __init__(self, port: int) -> None:
        super().__init__(EgressGuard(()))
        self._port = port

    async def connect(
        self, host: str, port: int, *, trace: Trace, tls: Tls | None = None, ip_version: int | None = None
    ) -> Connection:
        return await super().connect("127.0.0.1", self._port, trace=trace, ip_version=ip_version)


async def website(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Api]:
    """What the samples speak of: the channels and the monitor, made from the samples, and the monitor checked once."""
    async with target(website) as port:
        async with running(tmp_path, min_interval_ms=30_000, network=Everywhere(port)) as api:
            channel = json_sample("POST /notification-channels: request body (email)")
            for name in (channel["name"], "Second"):
                assert (await api.call("POST", "/notification-channels", {**channel, "name": name})).status == 201
            assert (await api.call("POST", "/monitors", json_sample("POST /monitors: request body"))).status == 201
            await shown(api, "/monitors/monitor-1", lambda monitor: monitor["status"] == "up")
            yield api


async def shown(api: Api, path: str, as_wanted: Any) -> Any:
    with trio.fail_after(10):
        while not as_wanted(found := (await api.call("GET", path)).json):  # noqa: ASYNC110 - checks come by themselves
            await trio.sleep(0.01)
    return found


def matches(answer: Answer, heading: str, status: int = 200) -> None:
    assert answer.status == status, answer
    assert differences(json_sample(heading), answer.json) == []


async def test_logging_in_and_refreshing(api: Api) -> None:
    body = json_sample("POST /auth/login: request body")
    await api.accounts.add_user(body["email"], "User Name", await hash_password(body["password"]), api.clock())
    api.token = None
    tokens = await api.call("POST", "/auth/login", body)
    matches(tokens, "POST /auth/login: response")
    assert tokens.json["user"]["email"] == "user@example.com"
    assert set(json_sample("POST /auth/refresh: request body")) == {"refreshToken"}
    again = await api.call("POST", "/auth/refresh", {"refreshToken": tokens.json["refreshToken"]})
    matches(again, "POST /auth/login: response")


async def test_a_monitor_created_and_shown(stage: Api) -> None:
    answer = await stage.call("GET", "/monitors/monitor-1")
    assert differences({**json_sample("GET /monitors/{id}: response"), "headers": {}}, answer.json) == []
    sent = json_sample("POST /monitors: request body")
    given = {name: value for name, value in answer.json.items() if name in sent}
    assert given == {**sent, "notifications": {"enabled": True, "channels": ["channel-1"]}}


async def test_what_is_shown_of_a_monitor_can_be_sent_back(stage: Api) -> None:
    body = json_sample("GET /monitors/{id}: response")
    answer = await stage.call("PUT", "/monitors/monitor-1", body)
    matches(answer, "GET /monitors/{id}: response")
    servers_own = {"id", "status", "lastCheck", "createdAt", "updatedAt"}
    assert {name: answer.json[name] for name in body if name not in servers_own} == {
        name: value for name, value in body.items() if name not in servers_own
    }
    assert answer.json["id"] == "monitor-1"


async def test_the_list_of_monitors(stage: Api) -> None:
    answer = await stage.call("GET", "/monitors?page=1&limit=20&type=http&status=up")
    matches(answer, "GET /monitors: response")
    assert answer.json["pagination"] == {"page": 1, "limit": 20, "total": 1, "pages": 1}


async def test_the_history(stage: Api) -> None:
    path = "/monitors/monitor-1/heartbeats"
    await shown(stage, path, lambda history: history["heartbeats"])
    matches(await stage.call("GET", path), "GET /monitors/{id}/heartbeats: response")


async def test_a_push(api: Api) -> None:
    monitor = await api.push_monitor(interval=60_000)
    body = sample("POST /push/{pushId}: request body (optional)").encode()
    for data in (body, None):
        assert (await api.call("POST", f"/push/{monitor['pushId']}", data=data)).status == 200
    newest, first = (await api.call("GET", f"/monitors/{monitor['id']}/heartbeats")).json["heartbeats"]
    assert [first["status"], first["message"], first["responseTime"]] == ["up", "Service is running normally", 123]
    assert newest["status"] == "up"


async def test_the_list_of_channels(stage: Api) -> None:
    answer = await stage.call("GET", "/notification-channels")
    matches(answer, "GET /notification-channels: response")
    assert [channel["name"] for channel in answer.json["channels"]] == ["Gmail Notifications", "Second"]


async def test_a_status_page(stage: Api) -> None:
    expected = json_sample("GET /status-pages/{slug}: response")
    page = {name: expected[name] for name in ("title", "description")}
    page |= {"slug": "service", "published": True, "monitors": ["monitor-1"]}
    assert (await stage.call("POST", "/status-pages", page)).status == 201
    yesterday = stage.clock() - 86_400_000  # what was long ago is not news
    times = {"startTime": iso(yesterday), "endTime": iso(yesterday + 5_400_000)}
    incident = {**expected["incidents"][0], **times, "monitors": ["monitor-1"]}
    assert (await stage.call("POST", "/incidents", incident)).status == 201
    stage.token = None
    path = "/status-pages/service"
    await shown(stage, path, lambda page: page["monitors"][0]["uptime"]["24h"] is not None)
    matches(await stage.call("GET", path), "GET /status-pages/{slug}: response")


async def test_the_overview(stage: Api) -> None:
    await shown(stage, "/stats/overview", lambda overview: overview["uptime"]["24h"] is not None)
    matches(await stage.call("GET", "/stats/overview"), "GET /stats/overview: response")


async def test_all_that_is_wrong_is_said_at_once(stage: Api) -> None:
    answer = await stage.call("POST", "/monitors", {"type": "http", "name": "My Website", "interval": 1000})
    assert answer.status == 422
    assert answer.json == json_sample("Error Handling")


async def test_the_rate_limit_headers(tmp_path: Path) -> None:
    async with running(tmp_path, ApiSettings()) as api:
        headers = (await api.call("GET", "/monitors")).headers
        limit, remaining, reset = (line.split(": ") for line in sample("Rate Limiting").splitlines())
        assert headers[limit[0]] == limit[1]
        assert headers[remaining[0]] == remaining[1]
        assert len(headers[reset[0]]) == len(reset[1])


async def test_live_events(tmp_path: Path) -> None:
    async with running(tmp_path, UNLIMITED) as api, serving(api) as port, websocket(port) as socket:
        await socket.send_message(msgspec.json.encode({"type": "auth", "token": api.token}).decode())
        assert msgspec.json.decode(await socket.get_message()) == {"type": "auth_ok"}
        monitor = await api.push_monitor(interval=60_000)
        for status in ("down", "up"):
            body = {"status": status, "ping": 234}
            assert (await api.call("POST", f"/push/{monitor['pushId']}", body)).status == 200
        with trio.fail_after(5):
            events = [msgspec.json.decode(await socket.get_message()) for _ in range(4)]
        heartbeat, change = events[2:]
        assert differences(json_sample("Heartbeat Updates"), heartbeat) == []
        expected = json_sample("Monitor Status Changes")
        assert differences(expected, change) == []
        change["data"] |= {"monitorId": "monitor-123", "timestamp": expected["data"]["timestamp"]}
        assert change == expected
