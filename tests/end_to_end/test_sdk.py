"""The two clients of the SDK against a real server: one scenario over both, then what each has of its own."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from peekaping import ApiError, PeekapingClient, Unreachable
from tests.end_to_end.support import EMAIL, PASSWORD, Nginx, Server, end_all_sessions, login


async def first_heartbeats(client: Any, monitor: str) -> Any:
    for _ in range(200):
        if beats := await client.monitors.heartbeats(monitor, limit=1):
            return beats
        await trio.sleep(0.05)
    raise AssertionError("no heartbeat within ten seconds")


async def test_it_works(client: Any, web: Nginx) -> None:
    created = await client.monitors.create({"type": "http", "name": "web", "url": web.url, "interval": 1000})
    id = created["id"]
    one, (listed,) = await client.monitors.get(id), await client.monitors.list()
    assert one["id"] == listed["id"]
    assert one.keys() == listed.keys()  # values may differ: it is checked meanwhile
    assert await client.monitors.list(type="push") == []
    changed = await client.monitors.update(id, {"name": "the web"})
    assert (changed["name"], changed["url"]) == ("the web", web.url)
    beats = await first_heartbeats(client, id)
    assert beats[0]["status"] == "up"
    assert [monitor["id"] for monitor in await client.monitors.list(status="up")] == [id]
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    assert await client.monitors.heartbeats(id, from_=now + hour) == []
    assert await client.monitors.heartbeats(id, from_=now - hour, to=now + hour)
    assert (await client.monitors.stats(id, "7d"))["totalChecks"] >= 1
    assert (await client.overview())["totalMonitors"] == 1
    assert (await client.monitors.pause(id))["status"] == "paused"
    assert (await client.monitors.resume(id))["status"] != "paused"
    await client.monitors.delete(id)
    with pytest.raises(ApiError) as caught:
        await client.monitors.get(id)
    assert caught.value.status == 404


async def test_a_push_becomes_a_heartbeat(client: Any) -> None:
    monitor = await client.monitors.create({"type": "push", "name": "backup", "interval": 60_000})
    await client.push(monitor["pushId"], status="down", message="disk full", ping=12)
    (beat,) = await client.monitors.heartbeats(monitor["id"])
    assert (beat["status"], beat["message"], beat["responseTime"]) == ("down", "disk full", 12)


async def test_a_refusal_says_what_is_wrong_with_each_field(client: Any) -> None:
    with pytest.raises(ApiError) as caught:
        await client.monitors.create({"type": "http", "name": "web", "interval": 1})
    assert caught.value.status == 422
    assert set(caught.value.details) == {"url", "interval"}
    assert await client.monitors.list() == []


async def test_all_pages_are_listed(client: Any) -> None:
    for n in range(101):
        await client.monitors.create({"type": "push", "name": f"job {n}"})
    assert [monitor["name"] for monitor in await client.monitors.list()] == [f"job {n}" for n in range(101)]


async def test_a_session_ended_elsewhere_is_opened_again(client: Any, server: Server) -> None:
    await client.monitors.list()
    await trio.to_thread.run_sync(end_all_sessions, server)
    assert await client.monitors.list() == []


def test_a_token_works_as_api_key_and_its_end_is_told(server: Server) -> None:
    with PeekapingClient(base_url=server.url, api_key=login(server)) as client:
        assert client.monitors.list() == []
    with PeekapingClient(server.url, "no such key") as client, pytest.raises(ApiError) as caught:
        client.monitors.list()
    assert caught.value.status == 401


def test_a_wrong_password_is_told_at_the_first_call(server: Server) -> None:
    with PeekapingClient(server.url, email=EMAIL, password=PASSWORD + "?") as client, pytest.raises(ApiError) as caught:
        client.overview()
    assert caught.value.status == 401


def test_a_push_needs_no_login(server: Server) -> None:
    with server.client() as client:
        push_id = client.monitors.create({"type": "push", "name": "backup"})["pushId"]
    with PeekapingClient(server.url) as stranger:
        stranger.push(push_id)
        with pytest.raises(ApiError):
            stranger.monitors.list()


def test_a_server_that_is_away_is_unreachable(server: Server) -> None:
    server.end(signal.SIGTERM)
    with server.client() as client, pytest.raises(Unreachable, match=server.url):
        client.overview()


def test_threads_share_one_client(server: Server) -> None:
    done: list[Any] = []
    with server.client() as client:
        threads = [threading.Thread(target=lambda: done.append(client.monitors.list())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert done == [[]] * 8


async def test_events_go_on_when_the_server_was_restarted(server: Server, web: Nginx) -> None:
    async with server.async_client() as client:
        monitor = await client.monitors.create({"type": "http", "name": "web", "url": web.url, "interval": 100})
        with trio.fail_after(30), client.events() as events:
            assert (await anext(events))["type"] == "connected"
            assert (await anext(events))["data"]["monitorId"] == monitor["id"]
            await trio.to_thread.run_sync(server.end, signal.SIGTERM)
            await trio.to_thread.run_sync(server.start)
            types: list[str] = []
            while types[-2:] != ["connected", "heartbeat"]:
                types.append((await anext(events))["type"])


async def test_the_login_of_events_ended_elsewhere_is_opened_again(server: Server) -> None:
    async with server.async_client() as client:
        with trio.fail_after(30), client.events() as events:
            assert (await anext(events))["type"] == "connected"
            await trio.to_thread.run_sync(end_all_sessions, server)
            assert (await anext(events))["type"] == "connected"
