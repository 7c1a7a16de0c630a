"""GET /monitors/{id}/heartbeats."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.support import Api, assert_refused


async def pushed(api: Api, count: int) -> str:
    """A monitor with so many heartbeats."""
    monitor = await api.push_monitor()
    for n in range(count):
        assert (await api.call("POST", f"/push/{monitor['pushId']}", {"message": f"push {n}", "ping": n})).status == 200
    return str(monitor["id"])


async def heartbeats(api: Api, id: str, query: str = "") -> list[dict[str, Any]]:
    answer = await api.call("GET", f"/monitors/{id}/heartbeats{query}")
    assert answer.status == 200, answer
    assert set(answer.json) == {"heartbeats"}
    found: list[dict[str, Any]] = answer.json["heartbeats"]
    return found


async def test_it_works_newest_first(api: Api) -> None:
    id = await pushed(api, 3)
    found = await heartbeats(api, id)
    assert [heartbeat["message"] for heartbeat in found] == ["push 2", "push 1", "push 0"]
    newest = found[0]
    assert newest["id"].startswith("heartbeat-")
    assert (newest["monitorId"], newest["status"], newest["responseTime"], newest["statusCode"]) == (id, "up", 2, None)
    assert newest["timestamp"].endswith("Z")
    assert [heartbeat["message"] for heartbeat in await heartbeats(api, id, "?limit=1")] == ["push 2"]


async def test_a_new_monitor_has_none(api: Api) -> None:
    assert await heartbeats(api, (await api.push_monitor())["id"]) == []


async def test_from_is_inclusive_and_to_exclusive(api: Api) -> None:
    id = await pushed(api, 3)
    at = [heartbeat["timestamp"] for heartbeat in await heartbeats(api, id)]
    assert [h["timestamp"] for h in await heartbeats(api, id, f"?from={at[2]}&to={at[0]}")] == at[1:]
    assert await heartbeats(api, id, f"?from={at[0]}&to={at[0]}") == []


@pytest.fixture
def _a_server_in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_a_server_in_tokyo")
async def test_times_without_an_offset_are_utc_wherever_the_server_is(api: Api) -> None:
    id = await pushed(api, 1)
    now = datetime.now(UTC)
    assert len(await heartbeats(api, id, f"?from={now - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}")) == 1
    assert await heartbeats(api, id, f"?from={now + timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}") == []


async def test_a_date_is_its_midnight_utc_and_offsets_are_understood(api: Api) -> None:
    id = await pushed(api, 1)
    now = datetime.now(UTC)
    assert len(await heartbeats(api, id, f"?from={now - timedelta(days=1):%Y-%m-%d}")) == 1
    assert await heartbeats(api, id, f"?to={now - timedelta(days=1):%Y-%m-%d}") == []
    elsewhere = (now + timedelta(minutes=1)).astimezone(timezone(timedelta(hours=5)))
    assert len(await heartbeats(api, id, f"?to={quote(elsewhere.isoformat())}")) == 1


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("from=yesterday&to=2024-13-01&limit=0", {"from", "to", "limit"}),
        ("limit=1001", {"limit"}),
        ("limit=ten", {"limit"}),
        ("from=2024-01-02&to=2024-01-01", {"to"}),
        ("from=0001-01-01T00:00:00%2B01:00&to=9999-12-31T23:59:59-01:00", {"from", "to"}),  # no years of UTC
        ("limit=5&limit=zzz&from=2024-01-01&from=2024-01-01", {"limit", "from"}),
        ("from=2024-01-20T10:00:00+02:00", {"from"}),  # a plus sign that nobody escaped is a space
    ],
)
async def test_bad_query_values_are_refused(api: Api, query: str, fields: set[str]) -> None:
    id = (await api.push_monitor())["id"]
    assert_refused(await api.call("GET", f"/monitors/{id}/heartbeats?{query}"), 422, "VALIDATION_ERROR", fields)
