"""/notification-channels over HTTP: what users send, and what they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from peekaping.engine.alerts.channel import Channel, NotDelivered
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from tests.api.support import Api, assert_refused, running

PATH = "/notification-channels"
HOOK = {"name": "hook", "type": "webhook", "config": {"url": "https://hook.example/in", "secret": "canary"}}
MASKED = {"url": "https://hook.example/in", "secret": "********"}


class Service:
    """Takes the place of sending."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refuses = False
        self.came = trio.Event()
        self._begin, self.began = trio.open_memory_channel[None](100)
        self.go_on = trio.Event()
        self.go_on.set()

    async def deliver(self, channel: Channel, message: Message, web: Web) -> str:
        self._begin.send_nowait(None)
        await self.go_on.wait()
        if self.refuses:
            raise NotDelivered("The service answered 403 Forbidden", retry=False)
        self.taken.append(message.key)
        self.came.set()
        return "200 OK"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    for module in ("outbox", "directory"):
        monkeypatch.setattr(f"peekaping.engine.alerts.{module}.deliver", service.deliver)
    return service


@pytest.fixture
async def api(tmp_path: Path, service: Service) -> AsyncIterator[Api]:
    async with running(tmp_path) as api:
        yield api


async def created(api: Api, **fields: Any) -> dict[str, Any]:
    answer = await api.call("POST", PATH, {**HOOK, **fields})
    assert answer.status == 201, answer
    channel: dict[str, Any] = answer.json
    return channel


async def deliveries(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = (await api.call("GET", f"{PATH}/channel-1/deliveries")).json
    return found


async def test_a_channel_is_shown_as_it_was_made_without_its_secrets(api: Api) -> None:
    quiet = {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"}
    channel = await created(api, quietHours=quiet, reminderEvery=300_000, minSeverity="warning")
    assert channel["id"] == "channel-1"
    assert channel["config"] == {**channel["config"], **MASKED}
    assert {name: channel[name] for name in ("name", "type", "enabled", "quietHours", "reminderEvery")} == {
        "name": "hook",
        "type": "webhook",
        "enabled": True,
        "quietHours": quiet,
        "reminderEvery": 300_000,
    }
    assert (await api.call("GET", f"{PATH}/channel-1")).json == channel
    listed = (await api.call("GET", PATH)).json
    assert listed == {"channels": [channel], "pagination": {"page": 1, "limit": 20, "total": 1, "pages": 1}}


async def test_what_is_wrong_is_said_at_once_and_changes_nothing(api: Api) -> None:
    wrong = {"type": "webhook", "config": {"url": "x", "colour": 1}, "quietHours": {"from": "25:00"}, "sound": "loud"}
    answer = await api.call("POST", PATH, wrong)
    fields = {"name", "config.url", "config.colour", "quietHours", "sound"}
    assert_refused(answer, 422, "VALIDATION_ERROR", fields)
    assert_refused(
        await api.call("POST", PATH, {"name": "x", "type": "pigeon", "config": {}}), 422, "VALIDATION_ERROR", {"type"}
    )
    assert (await api.call("GET", PATH)).json["channels"] == []
    await created(api)
    assert_refused(await api.call("POST", PATH, HOOK), 409, "CONFLICT", {"name"})


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_what_was_read_can_be_sent_back_changed(api: Api, method: str) -> None:
    channel = await created(api)
    answer = await api.call(method, f"{PATH}/channel-1", {**channel, "name": "other"})
    assert answer.status == 200, answer
    assert answer.json == {**channel, "name": "other", "updatedAt": answer.json["updatedAt"]}
    assert api.engine.channels.get("channel-1").channel.secret == "canary"  # type: ignore[attr-defined]
    moved = await api.call(method, f"{PATH}/channel-1", {"config": {"url": "https://thief.example/"}})
    assert_refused(moved, 422, "VALIDATION_ERROR", {"config.secret"})


async def test_a_deleted_channel_is_gone_and_its_monitors_stay(api: Api) -> None:
    await created(api)
    monitor = await api.push_monitor(notifications={"enabled": True, "channels": ["hook"]})
    assert monitor["notifications"] == {"enabled": True, "channels": ["channel-1"]}
    assert (await api.call("DELETE", f"{PATH}/channel-1")).status == 204
    shown = (await api.call("GET", f"/monitors/{monitor['id']}")).json
    assert shown["notifications"] == {"enabled": True, "channels": []}
    refused = await api.call("PUT", f"/monitors/{monitor['id']}", monitor)
    assert "channel-1" in str(refused.json)
    assert_refused(refused, 422, "VALIDATION_ERROR", {"notifications"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/delivery-1/redeliver"),
    ],
)
async def test_a_channel_that_is_not_there_is_a_404(api: Api, method: str, path: str) -> None:
    theirs = await api.engine.channels.add(HOOK, workspace=2)
    for id in (theirs.id, "channel-99", "hook"):
        answer = await api.call(method, f"{PATH}/{id}{path}", {} if method == "PUT" else None)
        assert_refused(answer, 404, "NOT_FOUND")


async def test_a_channel_can_be_tried_out(api: Api, service: Service) -> None:
    await created(api)
    answer = await api.call("POST", f"{PATH}/channel-1/test")
    assert (answer.status, answer.json) == (200, {"success": True, "message": "200 OK"})
    service.refuses = True
    answer = await api.call("POST", f"{PATH}/channel-1/test")
    assert (answer.status, answer.json) == (200, {"success": False, "message": "The service answered 403 Forbidden"})


async def test_a_user_tries_out_few_channels_at_once(api: Api, service: Service) -> None:
    await created(api)
    service.go_on = trio.Event()
    answers: list[int] = []

    async def test() -> None:
        answers.append((await api.call("POST", f"{PATH}/channel-1/test")).status)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(test)
        with trio.fail_after(10):
            for _ in range(4):
                await service.began.receive()
            refused = await api.call("POST", f"{PATH}/channel-1/test")
        assert_refused(refused, 429, "RATE_LIMIT_EXCEEDED")
        assert refused.headers["Retry-After"] == "1"
        mine, api.token = api.token, await api.user("other@example.com")
        nursery.start_soon(test)
        with trio.fail_after(10):
            await service.began.receive()
        api.token = mine
        service.go_on.set()
    assert answers == [200] * 5
    assert (await api.call("POST", f"{PATH}/channel-1/test")).status == 200


async def test_nothing_is_sent_to_a_disabled_channel_but_a_test(api: Api, service: Service) -> None:
    await created(api)
    monitor = await api.push_monitor(notifications={"channels": ["channel-1"]})
    await api.call("POST", f"/push/{monitor['pushId']}", {"status": "down"})
    with trio.fail_after(10):
        await service.came.wait()
    await api.call("PUT", f"{PATH}/channel-1", {"enabled": False})
    await api.call("POST", f"/push/{monitor['pushId']}", {"status": "up"})
    assert [one["event"] for one in (await deliveries(api))["deliveries"]] == ["monitor.down"]
    again = await api.call("POST", f"{PATH}/channel-1/deliveries/delivery-1/redeliver")
    assert_refused(again, 422, "VALIDATION_ERROR", {"enabled"})
    assert len(service.taken) == 1
    tested = await api.call("POST", f"{PATH}/channel-1/test")
    assert tested.json == {"success": True, "message": "200 OK"}


async def test_it_can_be_seen_what_was_sent_and_sent_again(api: Api, service: Service) -> None:
    await created(api)
    monitor = await api.push_monitor(notifications={"channels": ["channel-1"]})
    await api.call("POST", f"/push/{monitor['pushId']}", {"status": "down", "message": "disk full"})
    with trio.fail_after(10):
        await service.came.wait()
        found = await deliveries(api)
        while found["deliveries"][0]["tries"] == 0:
            await trio.sleep(0.01)
            found = await deliveries(api)
    (delivery,) = found["deliveries"]
    assert found["pagination"]["total"] == 1
    assert {name: delivery[name] for name in ("id", "event", "monitorId", "status", "message", "nextTryAt")} == {
        "id": "delivery-1",
        "event": "monitor.down",
        "monitorId": monitor["id"],
        "status": "sent",
        "message": "200 OK",
        "nextTryAt": None,
    }
    service.came = trio.Event()
    again = await api.call("POST", f"{PATH}/channel-1/deliveries/delivery-1/redeliver")
    assert (again.status, again.json["status"], again.json["key"]) == (200, "waiting", delivery["key"])
    assert again.json["createdAt"] == delivery["createdAt"], "it tells of what happened then"
    with trio.fail_after(10):
        await service.came.wait()
    assert service.taken == [delivery["key"]] * 2
    missing = await api.call("POST", f"{PATH}/channel-1/deliveries/delivery-9/redeliver")
    assert_refused(missing, 404, "NOT_FOUND")


async def test_a_template_can_be_looked_at_before_it_is_used(api: Api) -> None:
    template = "{{ name }} is {{ status }}: {{ msg }}"
    answer = await api.call("POST", f"{PATH}/preview", {"template": template})
    assert answer.status == 200, answer
    assert answer.json["text"].startswith("Website Monitor is DOWN")
    refused = await api.call("POST", f"{PATH}/preview", {"template": "{% if %}"})
    assert_refused(refused, 422, "VALIDATION_ERROR", {"template"})
    refused = await api.call("POST", f"{PATH}/preview", {"event": "monitor.exploded"})
    assert_refused(refused, 422, "VALIDATION_ERROR", {"template", "event"})
