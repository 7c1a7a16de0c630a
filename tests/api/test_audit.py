"""The audit log: every change and every login, whatever comes of it, and nothing that was sent."""

from __future__ import annotations

import pytest
import trio

from peekaping.store.audit import KEPT_MS
from tests.api.support import EMAIL, HERE, PASSWORD, Api, assert_refused, bearer

ME = {"id": "user-1", "email": EMAIL}


async def entries(api: Api) -> list[tuple[str, str, int | None]]:
    """The newest, without the logins."""
    found = (await api.call("GET", "/audit-log?limit=100")).json["entries"]
    return [(entry["action"], entry["target"], entry["status"]) for entry in found if "login" not in entry["action"]]


async def test_a_change_is_noted_with_who_when_and_from_where(api: Api) -> None:
    monitor = await api.push_monitor()
    newest = (await api.call("GET", "/audit-log?limit=1")).json
    assert newest["pagination"] == {"page": 1, "limit": 1, "total": 2, "pages": 2}  # a login was before
    (entry,) = newest["entries"]
    assert entry == {
        "id": "audit-2",
        "timestamp": entry["timestamp"],
        "user": ME,
        "apiKey": None,
        "address": HERE,
        "action": "POST /monitors",
        "target": f"/monitors/{monitor['id']}",
        "status": 201,
    }


async def test_what_was_refused_is_there_and_looking_is_not(api: Api) -> None:
    monitor = await api.push_monitor()
    await api.call("GET", f"/monitors/{monitor['id']}")
    await api.call("PUT", f"/monitors/{monitor['id']}", {"name": ""})
    await api.call("DELETE", f"/monitors/{monitor['id']}")
    await api.call("POST", f"/push/{monitor['pushId']}")
    assert await entries(api) == [
        ("DELETE /monitors/<id>", f"/monitors/{monitor['id']}", 204),
        ("PUT /monitors/<id>", f"/monitors/{monitor['id']}", 422),
        ("POST /monitors", f"/monitors/{monitor['id']}", 201),
    ]


async def test_the_target_is_the_address_of_the_thing(api: Api) -> None:
    incident = (await api.call("POST", "/incidents", {"title": "Slow"})).json["id"]
    await api.call("POST", f"/incidents/{incident}/updates", {"message": "We are on it"})
    await api.call("POST", "/status-pages", {"slug": "shop", "title": "Shop"})
    assert [target for _, target, _ in await entries(api)] == [
        "/status-pages/shop",
        f"/incidents/{incident}/updates",
        f"/incidents/{incident}",
    ]


async def test_a_key_is_named_and_a_user_who_is_gone_keeps_the_name(api: Api) -> None:
    token = await api.user("ada@example.com")
    key = await api.key("write", token=token)
    await api.call("POST", "/monitors", {"type": "push", "name": "job"}, headers=bearer(key["key"]))
    await api.call("DELETE", "/users/user-2")
    found = (await api.call("GET", "/audit-log")).json["entries"]
    made = next(entry for entry in found if entry["action"] == "POST /monitors")
    assert (made["user"], made["apiKey"]) == ({"id": "user-2", "email": "ada@example.com"}, key["id"])


async def test_logins_are_noted_with_what_came_of_them(api: Api) -> None:
    await api.login("wrong")
    await api.login(email="the password in the wrong field")
    found = (await api.call("GET", "/audit-log")).json["entries"]
    assert [(entry["action"], entry["status"], entry["user"]) for entry in found] == [
        ("POST /auth/login", 401, ME),
        ("POST /auth/login", 200, ME),
    ]


async def test_hanging_up_does_not_keep_a_change_out_of_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = trio.Event()

    async def slow(*args: object) -> None:
        begun.set()
        await trio.sleep_forever()

    monkeypatch.setattr(api.engine, "add", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(api.call, "POST", "/monitors", {"type": "push", "name": "job"})
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert await entries(api) == [("POST /monitors", "/monitors", None)]


async def test_it_holds_nothing_that_was_sent(api: Api) -> None:
    await api.call("POST", "/users", {"email": "a@example.com", "name": "Ada", "password": "canary-4711"})
    await api.call("POST", "/auth/password?x=canary-4711", {"currentPassword": PASSWORD, "newPassword": "canary-4711"})
    rows = await api.database.read(lambda db: db.execute("SELECT * FROM audit").fetchall())
    assert len(rows) == 3
    assert "canary" not in str(rows)
    assert PASSWORD not in str(rows)


async def test_it_forgets_after_a_year(api: Api) -> None:
    await api.push_monitor()
    api.clock.ahead_ms = KEPT_MS + 60_000
    api.token = (await api.login()).json["accessToken"]
    assert (await api.call("GET", "/audit-log")).json["pagination"]["total"] == 1


async def test_a_change_that_cannot_be_noted_is_not_made(api: Api) -> None:
    await api.database.write(lambda db: db.execute("ALTER TABLE audit RENAME TO elsewhere"))
    answer = await api.call("POST", "/monitors", {"type": "push", "name": "job"})
    assert_refused(answer, 503, "SERVICE_UNAVAILABLE")
    assert api.engine.monitors() == []
