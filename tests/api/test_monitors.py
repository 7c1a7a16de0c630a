"""/monitors: list, create, show, change, delete, pause, resume."""

from __future__ import annotations

import re
from typing import Any

import pytest
import trustme

from peekaping.engine.secrets import MASK
from tests.api.support import Api, assert_refused, until
from tests.engine.targets import issued, saying, server_context, serving

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
HTTP = {
    "name": "New Website Monitor",
    "type": "http",
    "url": "http://127.0.0.1:1/",
    "method": "GET",
    "timeout": 30000,
    "interval": 60000,
    "retries": 3,
    "expectedStatusCodes": [200],
    "notifications": {"enabled": True, "channels": []},
}


async def test_creating_works_and_gives_the_whole_object(api: Api) -> None:
    answer = await api.call("POST", "/monitors", HTTP)
    assert answer.status == 201
    created = answer.json
    assert {name: created[name] for name in HTTP} == HTTP
    assert created["id"] == "monitor-1"
    assert created["status"] == "pending"
    assert created["lastCheck"] is None
    assert TIME.fullmatch(created["createdAt"])
    assert TIME.fullmatch(created["updatedAt"])
    assert "pushId" not in created


async def test_one_and_the_list_show_the_same_object(api: Api) -> None:
    created = await api.push_monitor()
    shown = await api.call("GET", f"/monitors/{created['id']}")
    listed = await api.call("GET", "/monitors")
    assert shown.status == listed.status == 200
    assert shown.json == created
    assert listed.json == {
        "monitors": [created],
        "pagination": {"page": 1, "limit": 20, "total": 1, "pages": 1},
    }


async def test_an_empty_list_is_a_list(api: Api) -> None:
    answer = await api.call("GET", "/monitors")
    assert answer.json == {"monitors": [], "pagination": {"page": 1, "limit": 20, "total": 0, "pages": 0}}


async def test_the_list_comes_in_pages_oldest_first(api: Api) -> None:
    for n in range(5):
        await api.push_monitor(f"job {n}")
    answer = await api.call("GET", "/monitors?page=2&limit=2")
    assert [monitor["name"] for monitor in answer.json["monitors"]] == ["job 2", "job 3"]
    assert answer.json["pagination"] == {"page": 2, "limit": 2, "total": 5, "pages": 3}
    assert (await api.call("GET", "/monitors?page=9&limit=2")).json["monitors"] == []


async def test_the_list_can_be_filtered(api: Api) -> None:
    await api.call("POST", "/monitors", HTTP)
    paused = await api.push_monitor()
    await api.call("POST", f"/monitors/{paused['id']}/pause")
    assert [m["type"] for m in (await api.call("GET", "/monitors?type=http")).json["monitors"]] == ["http"]
    answer = await api.call("GET", "/monitors?status=paused&type=push")
    assert [monitor["id"] for monitor in answer.json["monitors"]] == [paused["id"]]
    assert answer.json["pagination"]["total"] == 1


async def test_a_filtered_list_follows_the_monitors_that_come_and_go(api: Api) -> None:
    async def names(query: str) -> list[str]:
        return [monitor["name"] for monitor in (await api.call("GET", f"/monitors?{query}")).json["monitors"]]

    first, second = await api.push_monitor("first"), await api.push_monitor("second")
    assert await names("type=push") == ["first", "second"]
    await api.call("DELETE", f"/monitors/{first['id']}")
    assert await names("type=push") == ["second"]
    await api.push_monitor("third")
    await api.call("DELETE", f"/monitors/{second['id']}")
    assert await names("type=push") == await names("status=pending") == ["third"]
    await api.call(
        "PATCH", f"/monitors/{(await api.call('GET', '/monitors')).json['monitors'][0]['id']}", {"name": "3"}
    )
    assert await names("type=push") == ["3"]


async def test_a_list_shows_each_monitor_as_it_is_now(api: Api) -> None:
    async def shown() -> dict[str, Any]:
        (monitor,) = (await api.call("GET", "/monitors")).json["monitors"]
        assert monitor == (await api.call("GET", f"/monitors/{monitor['id']}")).json
        found: dict[str, Any] = monitor
        return found

    created = await api.push_monitor()
    assert await shown() == created
    for status, ping in (("up", 1), ("up", 2), ("down", 2)):
        await api.call("POST", f"/push/{created['pushId']}", {"status": status, "ping": ping, "message": 'a "b"'})
        now = await shown()
        assert (now["status"], now["responseTime"], now["lastMessage"]) == (status, ping, 'a "b"')
        assert now["lastCheck"] is not None
    renamed = (await api.call("PATCH", f"/monitors/{created['id']}", {"name": 'ü "x"'})).json
    assert (renamed["name"], renamed["pushId"]) == ('ü "x"', created["pushId"])
    assert await shown() == renamed
    assert (await api.call("POST", f"/monitors/{created['id']}/pause")).json == await shown()
    own, api.token = api.token, (await api.key("read"))["key"]
    assert await shown() == {**renamed, "status": "paused", "updatedAt": (await shown())["updatedAt"], "pushId": MASK}
    api.token = own
    assert (await shown())["pushId"] == created["pushId"]


async def test_bad_query_values_are_all_named(api: Api) -> None:
    answer = await api.call("GET", "/monitors?page=0&limit=101&status=sideways")
    assert_refused(answer, 422, "VALIDATION_ERROR", {"page", "limit", "status"})
    for query, field in (
        ("type=smoke", "type"),
        ("page=x", "page"),
        (f"page={'9' * 5000}", "page"),
        ("limit=", "limit"),
    ):
        assert_refused(await api.call("GET", f"/monitors?{query}"), 422, "VALIDATION_ERROR", {field})


async def test_a_bad_monitor_is_refused_with_every_wrong_field(api: Api) -> None:
    answer = await api.call("POST", "/monitors", {"type": "http", "interval": 5, "colour": "red"})
    message = assert_refused(answer, 422, "VALIDATION_ERROR", {"name", "url", "interval", "colour"})
    assert message == "Invalid monitor configuration"
    assert answer.json["error"]["details"]["url"] == ["URL is required"]
    assert (await api.call("GET", "/monitors")).json["monitors"] == []


@pytest.mark.parametrize("kind", [{}, {"type": "smoke"}, {"type": ["http"]}])
async def test_a_monitor_needs_a_type_that_exists(api: Api, kind: dict[str, Any]) -> None:
    body = {**kind, "name": "x"}
    assert_refused(await api.call("POST", "/monitors", body), 422, "VALIDATION_ERROR", {"type"})
    body = {**kind, "interval": 5, "notifications": {"channels": ["nobody"]}}
    wrong = {"type", "name", "interval", "notifications"}
    assert_refused(await api.call("POST", "/monitors", body), 422, "VALIDATION_ERROR", wrong)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_changing_changes_the_fields_given(api: Api, method: str) -> None:
    created = await api.push_monitor()
    answer = await api.call(method, f"/monitors/{created['id']}", {"name": "renamed", "retries": 2})
    assert answer.status == 200
    assert answer.json == {**created, "name": "renamed", "retries": 2, "updatedAt": answer.json["updatedAt"]}


async def test_what_was_read_can_be_sent_back(api: Api) -> None:
    created = await api.push_monitor()
    await api.call("POST", f"/push/{created['pushId']}", {"ping": 5})
    shown = (await api.call("GET", f"/monitors/{created['id']}")).json
    answer = await api.call("PUT", f"/monitors/{created['id']}", shown)
    assert answer.status == 200
    assert answer.json == shown, "nor is it an update"


async def test_a_bad_change_changes_nothing(api: Api) -> None:
    created = await api.push_monitor()
    path = f"/monitors/{created['id']}"
    assert_refused(await api.call("PUT", path, {"name": "", "x": 1}), 422, "VALIDATION_ERROR", {"name", "x"})
    assert_refused(await api.call("PUT", path, {"type": "http"}), 422, "VALIDATION_ERROR", {"type"})
    assert (await api.call("GET", path)).json == created


async def test_deleting_works_once(api: Api) -> None:
    path = f"/monitors/{(await api.push_monitor())['id']}"
    answer = await api.call("DELETE", path)
    assert (answer.status, answer.json) == (204, None)
    assert_refused(await api.call("DELETE", path), 404, "NOT_FOUND")


async def test_pausing_and_resuming(api: Api) -> None:
    path = f"/monitors/{(await api.push_monitor())['id']}"
    for _ in range(2):
        assert (await api.call("POST", f"{path}/pause")).json["status"] == "paused"
    assert (await api.call("POST", f"{path}/resume")).json["status"] == "pending"


@pytest.mark.parametrize("id", ["monitor-999", "999", "monitor-", "monitor-99999999999999999999", "%00", "ä"])
async def test_every_address_of_a_monitor_that_is_not_there_is_a_404(api: Api, id: str) -> None:
    for method, path in (
        ("GET", ""), ("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"),
        ("GET", "/heartbeats"), ("GET", "/stats"),
    ):  # fmt: skip
        body: dict[str, Any] | None = {} if method in ("PUT", "PATCH") else None
        assert_refused(await api.call(method, f"/monitors/{id}{path}", body), 404, "NOT_FOUND")


async def test_after_a_check_the_monitor_shows_it(api: Api) -> None:
    created = await api.push_monitor()
    await api.call("POST", f"/push/{created['pushId']}", {"message": "fine", "ping": 12})
    shown = (await api.call("GET", f"/monitors/{created['id']}")).json
    assert (shown["status"], shown["lastMessage"], shown["responseTime"]) == ("up", "fine", 12)
    assert TIME.fullmatch(shown["lastCheck"])


async def test_the_certificate_of_a_target_is_shown(api: Api) -> None:
    authority = trustme.CA(organization_name="Our authority")
    ended = issued(authority, -2.5, begins_in_days=-100)
    async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", context=server_context(ended))) as port:
        fields = {"type": "http", "name": "Shop", "url": f"https://localhost:{port}/", "checkCertExpiry": True}
        created = (await api.call("POST", "/monitors", {**fields, "ignoreTlsErrors": True})).json
        assert created["certificate"] is None
        path = f"/monitors/{created['id']}"
        await until(lambda: api.engine.get(created["id"]).last)
        shown = (await api.call("GET", path)).json
    certificate = shown["certificate"]
    assert (shown["status"], certificate["daysLeft"], certificate["names"]) == ("up", -3, ["localhost"])
    assert "O=Our authority" in certificate["issuer"]
    assert "OU=Testing cert" in certificate["subject"]
    assert re.fullmatch("[0-9a-f]{64}", certificate["fingerprint"])
    assert re.fullmatch("[0-9a-f]+", certificate["serialNumber"])
    assert TIME.fullmatch(certificate["notBefore"])
    assert certificate["notBefore"] < certificate["notAfter"] < certificate["since"] == shown["lastCheck"]
    assert (await api.call("GET", "/monitors")).json["monitors"][0]["certificate"] == certificate
    sent_back = await api.call("PUT", path, {**shown, "name": "Mail"})
    assert (sent_back.status, sent_back.json["certificate"]) == (200, certificate)
    assert (await api.call("PUT", path, {"url": "http://127.0.0.1:1/"})).json["certificate"] is None
