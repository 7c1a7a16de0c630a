"""/incidents: by hand, and by a monitor's transitions."""

from __future__ import annotations

from typing import Any

import pytest

from peekaping.engine.records import iso
from tests.api.support import Api, assert_refused
from tests.api.test_status_pages import stranger


async def opened(api: Api, **fields: Any) -> dict[str, Any]:
    answer = await api.call("POST", "/incidents", {"title": "Slow database", **fields})
    assert answer.status == 201, answer
    incident: dict[str, Any] = answer.json
    return incident


async def listed(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = await api.call("GET", f"/incidents{query}")
    assert answer.status == 200, answer
    incidents: list[dict[str, Any]] = answer.json["incidents"]
    assert answer.json["pagination"]["total"] >= len(incidents)
    return incidents


async def pushed(api: Api, monitor: dict[str, Any], status: str) -> None:
    assert (await api.call("POST", f"/push/{monitor['pushId']}", {"status": status})).status == 200


async def test_one_by_hand_works(api: Api) -> None:
    shop, mail = [await api.push_monitor(name) for name in ("Shop", "Mail")]
    times = {"startTime": "2024-01-19T14:00:00Z", "endTime": "2024-01-19T15:30:00Z"}
    created = await opened(api, status="resolved", monitors=[mail["id"], shop["id"], mail["id"]], **times)
    assert created == {
        "id": created["id"], "title": "Slow database", "status": "resolved", "automatic": False, "updates": [],
        "startTime": "2024-01-19T14:00:00.000Z", "endTime": "2024-01-19T15:30:00.000Z",
        "monitors": [shop["id"], mail["id"]],
    }  # fmt: skip
    assert created["id"].startswith("incident-")
    assert (await api.call("GET", f"/incidents/{created['id']}")).json == created
    assert await listed(api) == [created]


async def test_it_begins_now_and_is_being_investigated_unless_said_otherwise(api: Api) -> None:
    before = iso(api.clock())
    created = await opened(api)
    assert (created["status"], created["endTime"], created["monitors"]) == ("investigating", None, [])
    assert before <= created["startTime"] <= iso(api.clock())


async def test_a_resolved_one_has_an_end_and_one_taken_up_again_has_none(api: Api) -> None:
    path = f"/incidents/{(await opened(api, startTime='2024-01-19'))['id']}"
    before = iso(api.clock())
    resolved = (await api.call("PATCH", path, {"status": "resolved"})).json
    assert before <= resolved["endTime"] <= iso(api.clock())
    assert (await api.call("PUT", path, {"title": "Renamed"})).json == {**resolved, "title": "Renamed"}
    again = (await api.call("PATCH", path, {"status": "identified"})).json
    assert (again["status"], again["endTime"]) == ("identified", None)


async def test_the_end_of_a_resolved_one_can_be_set(api: Api) -> None:
    path = f"/incidents/{(await opened(api, startTime='2024-01-19'))['id']}"
    for change, end in (
        ({"status": "resolved", "endTime": "2024-01-19T01:00:00Z"}, "2024-01-19T01:00:00.000Z"),
        ({"endTime": "2024-01-19T04:00:00+02:00"}, "2024-01-19T02:00:00.000Z"),
        ({"endTime": "2024-01-19"}, "2024-01-19T00:00:00.000Z"),
        ({"status": "identified"}, None),
        ({"endTime": None}, None),
    ):
        answer = await api.call("PATCH", path, change)
        assert (answer.status, answer.json["endTime"]) == (200, end)
    for wrong in ("2024-01-18T23:59:59Z", "2101-01-01"):
        answer = await api.call("PATCH", path, {"status": "resolved", "endTime": wrong})
        assert_refused(answer, 422, "VALIDATION_ERROR", {"endTime"})
    before = iso(api.clock())
    now = (await api.call("PATCH", path, {"status": "resolved", "endTime": None})).json["endTime"]
    assert before <= now <= iso(api.clock())


async def test_what_was_shown_can_be_sent_back(api: Api) -> None:
    monitor = await api.push_monitor()
    await pushed(api, monitor, "down")
    await opened(api, monitors=[monitor["id"]])
    await opened(api, status="resolved")
    shown = await listed(api)
    assert len(shown) == 3
    for incident in shown:
        answer = await api.call("PUT", f"/incidents/{incident['id']}", incident)
        assert (answer.status, answer.json) == (200, incident)


async def test_updates_tell_how_it_goes_on(api: Api) -> None:
    path = f"/incidents/{(await opened(api))['id']}"
    for fields in ({"message": "Looking"}, {"message": "A disk", "status": "identified"}):
        assert (await api.call("POST", f"{path}/updates", fields)).status == 201
    done = (await api.call("POST", f"{path}/updates", {"message": "Done \0 ü", "status": "resolved"})).json
    assert (done["status"], done["endTime"] is None) == ("resolved", False)
    said = [(update["status"], update["message"]) for update in done["updates"]]
    assert said == [("resolved", "Done \0 ü"), ("identified", "A disk"), ("investigating", "Looking")]
    assert (await api.call("GET", path)).json == done


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"title"}),
        ({"title": " ", "status": "odd", "colour": 1, "monitors": [1]}, {"title", "status", "colour", "monitors"}),
        ({"title": "x", "endTime": "2024-01-01"}, {"endTime"}),
        ({"title": "x", "status": "resolved", "startTime": "2024-01-02", "endTime": "2024-01-01"}, {"endTime"}),
        ({"title": "x", "startTime": "0001-01-01"}, {"startTime"}),
        ({"title": "x", "startTime": "9999-12-31T23:59:59-14:00"}, {"startTime"}),
        ({"title": "x", "monitors": ["monitor-77"]}, {"monitors"}),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_made(api: Api, fields: dict[str, Any], wrong: set[str]) -> None:
    assert_refused(await api.call("POST", "/incidents", fields), 422, "VALIDATION_ERROR", wrong)
    assert await listed(api) == []


async def test_a_wrong_change_changes_nothing(api: Api) -> None:
    created = await opened(api)
    path = f"/incidents/{created['id']}"
    for fields in ({"endTime": "2024-01-01"}, {"status": "resolved", "endTime": "2024-01-01"}):
        assert_refused(await api.call("PATCH", path, {"title": "New", **fields}), 422, "VALIDATION_ERROR", {"endTime"})
    assert_refused(await api.call("PATCH", path, {"title": None}), 422, "VALIDATION_ERROR", {"title"})
    assert_refused(await api.call("POST", f"{path}/updates", {}), 422, "VALIDATION_ERROR", {"message"})
    assert (await api.call("GET", path)).json == created


@pytest.mark.parametrize("id", ["incident-77", "incident-", "incident-01", "nonsense", "incident-" + "9" * 30])
async def test_one_that_is_not_there_is_not_found(api: Api, id: str) -> None:
    assert (await api.call("POST", "/incidents", {"title": "Slow"})).json["id"] == "incident-1"
    for method, path, body in (
        ("GET", id, None), ("PATCH", id, {}), ("DELETE", id, None), ("POST", f"{id}/updates", {"message": "x"})
    ):  # fmt: skip
        assert_refused(await api.call(method, f"/incidents/{path}", body), 404, "NOT_FOUND")


async def test_a_deleted_one_is_gone(api: Api) -> None:
    created = await opened(api)
    assert (await api.call("DELETE", f"/incidents/{created['id']}")).status == 204
    assert_refused(await api.call("GET", f"/incidents/{created['id']}"), 404, "NOT_FOUND")
    assert await listed(api) == []


async def test_a_transition_opens_one_and_the_next_resolves_it(api: Api) -> None:
    monitor = await api.push_monitor("Shop")
    for status in ("up", "down", "down"):
        await pushed(api, monitor, status)
    (incident,) = await listed(api)
    assert (incident["title"], incident["status"], incident["endTime"]) == ("Shop is down", "investigating", None)
    assert (incident["monitors"], incident["automatic"]) == ([monitor["id"]], True)
    await pushed(api, monitor, "up")
    (resolved,) = await listed(api)
    assert resolved == {**incident, "status": "resolved", "endTime": resolved["endTime"]}
    assert resolved["endTime"] > incident["startTime"]
    await pushed(api, monitor, "down")
    assert [found["endTime"] is None for found in await listed(api)] == [True, False]


async def test_one_by_hand_is_never_touched_by_a_transition(api: Api) -> None:
    monitor = await api.push_monitor()
    created = await opened(api, monitors=[monitor["id"]])
    for status in ("down", "up"):
        await pushed(api, monitor, status)
    assert (await api.call("GET", f"/incidents/{created['id']}")).json == created


async def test_a_monitors_own_is_told_of_but_follows_the_monitor(api: Api) -> None:
    monitor = await api.push_monitor()
    await pushed(api, monitor, "down")
    (before,) = await listed(api)
    path = f"/incidents/{before['id']}"
    told = await api.call("POST", f"{path}/updates", {"message": "On it", "status": "identified"})
    assert (told.status, told.json["status"]) == (201, "identified")
    assert (await api.call("PATCH", path, {"title": "Disk full"})).json["title"] == "Disk full"
    for fields, wrong in (
        ({"status": "resolved"}, {"status"}),
        ({"startTime": "2024-01-01"}, {"startTime"}),
        ({"endTime": "2024-01-01"}, {"endTime"}),
        ({"monitors": []}, {"monitors"}),
    ):
        assert_refused(await api.call("PATCH", path, fields), 422, "VALIDATION_ERROR", wrong)
    assert_refused(await api.call("DELETE", path), 409, "CONFLICT")
    await pushed(api, monitor, "up")
    after = (await api.call("GET", path)).json
    assert (after["title"], after["status"], len(after["updates"])) == ("Disk full", "resolved", 1)
    assert_refused(await api.call("PATCH", path, {"status": "monitoring"}), 422, "VALIDATION_ERROR", {"status"})


async def test_a_monitors_own_follows_its_name_also_when_it_was_sent_back(api: Api) -> None:
    monitor = await api.push_monitor("Old")
    await pushed(api, monitor, "down")
    (shown,) = await listed(api)
    path = f"/incidents/{shown['id']}"
    changed = await api.call("PUT", path, {**shown, "status": "identified"})
    assert (changed.status, changed.json["title"]) == (200, "Old is down")
    assert (await api.call("PATCH", f"/monitors/{monitor['id']}", {"name": "New"})).status == 200
    assert (await api.call("GET", path)).json["title"] == "New is down"


async def test_they_can_be_listed_by_monitor_and_by_state(api: Api) -> None:
    shop, mail = [await api.push_monitor(name) for name in ("Shop", "Mail")]
    await pushed(api, shop, "down")
    await opened(api, title="both", monitors=[shop["id"], mail["id"]], startTime="2024-01-02")
    await opened(api, title="over", status="resolved", monitors=[mail["id"]], startTime="2024-01-01")

    async def titles(query: str) -> list[str]:
        return [incident["title"] for incident in await listed(api, query)]

    assert await titles("") == ["Shop is down", "both", "over"]
    assert await titles(f"?monitor={shop['id']}") == ["Shop is down", "both"]
    assert await titles(f"?monitor={mail['id']}&resolved=false") == ["both"]
    assert await titles("?resolved=true") == ["over"]
    assert await titles("?page=2&limit=2") == ["over"]
    assert_refused(await api.call("GET", "/incidents?monitor=monitor-77"), 422, "VALIDATION_ERROR", {"monitor"})


async def test_a_deleted_monitor_takes_its_own_along_and_leaves_the_others(api: Api) -> None:
    shop, mail = [await api.push_monitor(name) for name in ("Shop", "Mail")]
    await pushed(api, shop, "down")
    await opened(api, title="both", monitors=[shop["id"], mail["id"]])
    assert (await api.call("DELETE", f"/monitors/{shop['id']}")).status == 204
    assert [(incident["title"], incident["monitors"]) for incident in await listed(api)] == [("both", [mail["id"]])]


async def test_the_statistics_show_the_outage(api: Api) -> None:
    monitor = await api.push_monitor()
    for status in ("up", "down"):
        await pushed(api, monitor, status)
    path = f"/monitors/{monitor['id']}/stats?period=7d"
    lasting = (await api.call("GET", path)).json
    (incident,) = await listed(api)
    assert lasting["outageCount"] == 1
    assert lasting["outages"][0]["startTime"] == incident["startTime"]
    assert lasting["outages"][0]["endTime"] is None
    await pushed(api, monitor, "up")
    stats = (await api.call("GET", path)).json
    (outage,) = stats["outages"]
    assert outage["endTime"] == (await listed(api))[0]["endTime"]
    assert outage["duration"] >= 0
    assert stats["mttr"] >= 0
    assert len(stats["buckets"]) in (84, 85)
    assert stats["buckets"][-1]["startTime"] <= outage["startTime"] or stats["buckets"][-2]["totalChecks"]


async def test_another_workspace_sees_and_changes_none(api: Api) -> None:
    monitor = await api.push_monitor()
    created = await opened(api, monitors=[monitor["id"]])
    path = f"/incidents/{created['id']}"
    owner, api.token = api.token, await stranger(api)
    assert await listed(api) == []
    for method, address, body in (
        ("GET", path, None), ("PATCH", path, {"title": "x"}), ("DELETE", path, None),
        ("POST", f"{path}/updates", {"message": "x"}),
    ):  # fmt: skip
        assert_refused(await api.call(method, address, body), 404, "NOT_FOUND")
    answer = await api.call("POST", "/incidents", {"title": "x", "monitors": [monitor["id"]]})
    assert_refused(answer, 422, "VALIDATION_ERROR", {"monitors"})
    api.token = owner
    assert await listed(api) == [created]
