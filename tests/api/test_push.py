"""POST and GET /push/{pushId}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peekaping.api.limits import PUSHES_PER_MINUTE
from peekaping.api.settings import ApiSettings
from tests.api.support import Api, assert_refused, running


async def newest(api: Api, id: str) -> dict[str, Any]:
    answer = await api.call("GET", f"/monitors/{id}/heartbeats?limit=1")
    found: dict[str, Any] = answer.json["heartbeats"][0]
    return found


async def test_it_works_without_a_login_and_without_a_body(api: Api) -> None:
    monitor = await api.push_monitor()
    token, api.token = api.token, None
    answer = await api.call("POST", f"/push/{monitor['pushId']}")
    assert (answer.status, answer.json) == (200, {"ok": True})
    api.token = token
    assert (await newest(api, monitor["id"]))["status"] == "up"


async def test_the_body_says_how_it_went(api: Api) -> None:
    monitor = await api.push_monitor()
    body = {"status": "down", "message": "Service is on fire", "ping": 123}
    assert (await api.call("POST", f"/push/{monitor['pushId']}", body)).status == 200
    heartbeat = await newest(api, monitor["id"])
    assert (heartbeat["status"], heartbeat["message"], heartbeat["responseTime"]) == (
        "down",
        "Service is on fire",
        123,
    )


async def test_a_get_says_the_same_in_its_query(api: Api) -> None:
    monitor = await api.push_monitor()
    answer = await api.call("GET", f"/push/{monitor['pushId']}?status=up&message=all+well&ping=4.6")
    assert answer.status == 200
    heartbeat = await newest(api, monitor["id"])
    assert (heartbeat["status"], heartbeat["message"], heartbeat["responseTime"]) == ("up", "all well", 5)


async def test_a_post_reads_its_query_as_well_and_the_body_wins(api: Api) -> None:
    monitor = await api.push_monitor()
    path = f"/push/{monitor['pushId']}"
    assert (await api.call("POST", f"{path}?status=down&message=disk+full&ping=0")).status == 200
    heartbeat = await newest(api, monitor["id"])
    assert (heartbeat["status"], heartbeat["message"], heartbeat["responseTime"]) == ("down", "disk full", 0)
    assert (await api.call("POST", f"{path}?status=up&message=fine&ping=7", {"status": "down"})).status == 200
    heartbeat = await newest(api, monitor["id"])
    assert (heartbeat["status"], heartbeat["message"], heartbeat["responseTime"]) == ("down", "fine", 7)
    assert_refused(await api.call("POST", f"{path}?status=DOWN"), 422, "VALIDATION_ERROR", {"status"})
    assert_refused(await api.call("POST", f"{path}?state=down", {"status": "down"}), 422, "VALIDATION_ERROR", {"state"})


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("query", "status", "message", "ping"),
    [
        ("status=up&msg=OK&ping=", "up", "OK", None),
        ("status=up&msg=OK&ping=12.4", "up", "OK", 12),
        ("status=down&msg=no+route&ping=", "down", "no route", None),
        ("status=up&msg=&ping=", "up", "OK", None),
    ],
)
async def test_push_scripts_of_uptime_kuma_work(
    api: Api, method: str, query: str, status: str, message: str, ping: int | None
) -> None:
    monitor = await api.push_monitor()
    assert (await api.call(method, f"/push/{monitor['pushId']}?{query}")).status == 200
    heartbeat = await newest(api, monitor["id"])
    assert (heartbeat["status"], heartbeat["message"], heartbeat["responseTime"]) == (status, message, ping)


@pytest.mark.parametrize("query", ["status=", "status=DOWN", "ping=12ms", "ping=nan", "ping=-1", "mesage=x"])
async def test_a_query_that_is_wrong_is_refused_by_its_name(api: Api, query: str) -> None:
    monitor = await api.push_monitor()
    answer = await api.call("GET", f"/push/{monitor['pushId']}?{query}")
    assert_refused(answer, 422, "VALIDATION_ERROR", {query.partition("=")[0]})
    assert (await api.call("GET", f"/monitors/{monitor['id']}/heartbeats")).json["heartbeats"] == []


async def test_a_push_that_says_down_and_no_more_is_not_told_as_ok(api: Api) -> None:
    monitor = await api.push_monitor()
    assert (await api.call("POST", f"/push/{monitor['pushId']}?status=down")).status == 200
    heartbeat = await newest(api, monitor["id"])
    assert (heartbeat["status"], heartbeat["message"], heartbeat["reason"]) == (
        "down",
        "Reported down by a push",
        "reported",
    )


async def test_an_unknown_push_id_is_a_404(api: Api) -> None:
    assert_refused(await api.call("POST", "/push/0123456789abcdef"), 404, "NOT_FOUND")


async def test_a_paused_monitor_takes_no_pushes(api: Api) -> None:
    monitor = await api.push_monitor()
    await api.call("POST", f"/monitors/{monitor['id']}/pause")
    assert_refused(await api.call("POST", f"/push/{monitor['pushId']}"), 404, "NOT_FOUND")


async def test_wrong_fields_are_refused_and_push_nothing(api: Api) -> None:
    monitor = await api.push_monitor()
    path = f"/push/{monitor['pushId']}"
    body = {"status": "sideways", "message": 5, "ping": -1, "pong": 1}
    assert_refused(await api.call("POST", path, body), 422, "VALIDATION_ERROR", set(body))
    assert_refused(await api.call("GET", f"{path}?status=sideways&ping=x"), 422, "VALIDATION_ERROR", {"status", "ping"})
    assert_refused(await api.call("POST", path, data=b"status=up"), 400, "INVALID_JSON")
    assert (await api.call("GET", f"/monitors/{monitor['id']}/heartbeats")).json["heartbeats"] == []


async def test_pushes_are_outside_the_rate_limits_but_have_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peekaping.api.heartbeats.PUSHES_PER_MINUTE", 30)
    async with running(tmp_path, ApiSettings(rate_limit_per_hour=1000, rate_limit_per_minute=20)) as api:
        monitor, other = await api.push_monitor(), await api.push_monitor()
        statuses = [(await api.call("POST", f"/push/{monitor['pushId']}")).status for _ in range(31)]
        assert statuses == [200] * 30 + [429]
        answer = await api.call("POST", f"/push/{monitor['pushId']}")
        assert_refused(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert (await api.call("POST", f"/push/{other['pushId']}")).status == 200
    assert PUSHES_PER_MINUTE >= 600
