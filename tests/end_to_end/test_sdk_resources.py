"""What the SDK can do beside monitors, with both clients against a real server."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from peekaping import ApiError, AsyncPeekapingClient, PeekapingClient, Unreachable
from tests.end_to_end.support import EMAIL, Nginx, Server


async def test_channels_are_made_changed_tried_and_deleted(client: Any, web: Nginx) -> None:
    channels = client.notification_channels
    made = await channels.create({"name": "on call", "type": "webhook", "config": {"url": web.url, "secret": "s"}})
    assert made["config"]["secret"] == "********"
    assert await channels.test(made["id"]) == {"success": True, "message": "200 OK: hello"}
    changed = await channels.update(made["id"], {"enabled": False})
    assert await channels.get(made["id"]) == changed
    assert [channel["enabled"] for channel in await channels.list()] == [False]
    assert await channels.preview("{{ name }} is {{ status }}") == "Website Monitor is DOWN"
    assert await channels.preview("{{ name }} is {{ status }}", event="monitor.up") == "Website Monitor is UP"
    await channels.delete(made["id"])
    assert await channels.list() == []


async def test_what_was_sent_is_listed_and_sent_again(client: Any, web: Nginx) -> None:
    config = {"url": web.url, "events": ["heartbeat.received"]}
    channel = await client.notification_channels.create({"name": "program", "type": "webhook", "config": config})
    monitor = await client.monitors.create(
        {"type": "push", "name": "backup", "notifications": {"channels": ["program"]}}
    )
    for _ in range(3):
        await client.push(monitor["pushId"])
    newest, *_ = deliveries = await client.notification_channels.deliveries(channel["id"])
    assert [delivery["event"] for delivery in deliveries] == ["heartbeat.received"] * 3
    assert [one["id"] for one in await client.notification_channels.deliveries(channel["id"], limit=1)] == [
        newest["id"]
    ]
    again = await client.notification_channels.redeliver(channel["id"], newest["id"])
    assert (again["id"], again["key"]) == (newest["id"], newest["key"])


async def test_a_status_page_is_public_once_it_is_published(client: Any, server: Server) -> None:
    monitor = await client.monitors.create({"type": "push", "name": "backup"})
    page = await client.status_pages.create({"slug": "ours", "title": "Our services", "monitors": [monitor["id"]]})
    assert await client.status_pages.list() == [page]
    with pytest.raises(ApiError):
        await client.status_pages.get("ours")
    await client.status_pages.update("ours", {"published": True, "slug": "all"})
    with PeekapingClient(server.url) as anybody:
        assert [shown["name"] for shown in anybody.status_pages.get("all")["monitors"]] == ["backup"]
    await client.status_pages.delete("all")
    assert await client.status_pages.list() == []


async def test_an_incident_is_told_of_until_it_is_over(client: Any) -> None:
    opened = await client.incidents.create({"title": "Slow database"})
    told = await client.incidents.add_update(opened["id"], "A disk is full", status="identified")
    assert (told["status"], told["updates"][0]["message"]) == ("identified", "A disk is full")
    assert (await client.incidents.add_update(opened["id"], "Still"))["status"] == "identified"
    assert await client.incidents.list(resolved=True) == []
    over = await client.incidents.update(opened["id"], {"status": "resolved"})
    assert over["endTime"] is not None
    assert await client.incidents.list(resolved=True, limit=5) == [await client.incidents.get(opened["id"])]
    await client.incidents.delete(opened["id"])
    assert await client.incidents.list() == []


async def test_only_the_incidents_of_a_monitor_are_listed(client: Any) -> None:
    monitor = await client.monitors.create({"type": "push", "name": "backup"})
    await client.push(monitor["pushId"], status="down")
    await client.incidents.create({"title": "Something else"})
    assert [one["title"] for one in await client.incidents.list(monitor=monitor["id"])] == ["backup is down"]
    assert len(await client.incidents.list()) == 2


async def test_users_of_two_workspaces(client: Any) -> None:
    other = await client.workspaces.create({"name": "Berlin"})
    assert [workspace["name"] for workspace in await client.workspaces.list()] == ["Default", "Berlin"]
    ada = {"email": "ada@example.com", "name": "Ada", "password": "a long password", "role": "editor"}
    made = await client.users.create({**ada, "workspaceId": other["id"]})
    assert (await client.users.get(made["id"]))["workspaceId"] == other["id"]
    await client.users.update(made["id"], {"role": "viewer"})
    assert {user["email"]: user["role"] for user in await client.users.list()} == {
        EMAIL: "admin",
        "ada@example.com": "viewer",
    }
    assert (await client.me())["email"] == EMAIL
    await client.users.switch_off_totp(made["id"])
    await client.users.delete(made["id"])
    assert len(await client.users.list()) == 1
    assert (await client.audit_log(limit=1))[0]["action"] == "DELETE /users/<id>"


async def test_an_api_key_works_until_it_is_revoked(client: Any, server: Server) -> None:
    made = await client.api_keys.create({"name": "script", "scopes": ["read"]})
    with PeekapingClient(server.url, made["key"]) as program:
        assert program.monitors.list() == []
        with pytest.raises(ApiError) as caught:
            program.monitors.create({"type": "push", "name": "backup"})
        assert caught.value.code == "FORBIDDEN"
        assert [key["id"] for key in await client.api_keys.list()] == [made["id"]]
        await client.api_keys.delete(made["id"])
        with pytest.raises(ApiError) as caught:
            program.monitors.list()
        assert caught.value.status == 401


async def test_the_history_becomes_a_file(client: Any) -> None:
    monitor = await client.monitors.create({"type": "push", "name": "backup"})
    for n in range(3):
        await client.push(monitor["pushId"], message=f"run {n}", ping=n)
    csv, whole, part = io.BytesIO(), io.BytesIO(), io.BytesIO()
    await client.monitors.export(monitor["id"], csv)
    lines = csv.getvalue().decode().splitlines()
    assert lines[0] == "timestamp,status,responseTime,statusCode,reason,message"
    assert [line.rpartition(",")[2] for line in lines[1:]] == ["run 2", "run 1", "run 0"]
    await client.monitors.export(monitor["id"], whole, format="json")
    beats = json.loads(whole.getvalue())["heartbeats"]
    assert beats == await client.monitors.heartbeats(monitor["id"])
    await client.monitors.export(monitor["id"], part, format="json", from_=beats[1]["timestamp"])
    assert json.loads(part.getvalue())["heartbeats"] == beats[:2]


async def test_what_is_no_file_is_not_written_into_one(client: Any) -> None:
    file = io.BytesIO()
    with pytest.raises(ApiError) as caught:
        await client.monitors.export("monitor-9", file)
    assert caught.value.code == "NOT_FOUND"
    assert file.getvalue() == b""


@contextmanager
def breaking_off() -> Iterator[str]:
    """A server that begins a file and is gone; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Disposition", "attachment")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhalf,\r\n")
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_half_a_file_is_an_error() -> None:
    file = io.BytesIO()
    with breaking_off() as url, PeekapingClient(url) as client, pytest.raises(Unreachable):
        client.monitors.export("monitor-1", file)
    assert file.getvalue() == b"half,"


async def test_half_a_file_is_an_error_on_trio() -> None:
    file = io.BytesIO()
    with breaking_off() as url:
        async with AsyncPeekapingClient(url) as client:
            with pytest.raises(Unreachable):
                await client.monitors.export("monitor-1", file)
    assert file.getvalue() == b"half,"
