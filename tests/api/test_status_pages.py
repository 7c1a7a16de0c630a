"""/status-pages: keeping them."""

from __future__ import annotations

from typing import Any

import pytest

from peekaping.api.passwords import hash_password
from peekaping.store.workspaces import Workspaces
from tests.api.support import PASSWORD, Api, assert_refused


async def stranger(api: Api) -> str:
    """The token of somebody in another workspace."""
    workspace = await Workspaces(api.database).add("Others", api.clock())
    hashed = await hash_password(PASSWORD)
    await api.accounts.add_user("other@example.com", "Other", hashed, api.clock(), workspace=workspace.id)
    return str((await api.login(email="other@example.com")).json["accessToken"])


async def made(api: Api, slug: str = "shop", **fields: Any) -> dict[str, Any]:
    answer = await api.call("POST", "/status-pages", {"slug": slug, "title": "Our shop", "published": True, **fields})
    assert answer.status == 201, answer
    page: dict[str, Any] = answer.json
    return page


async def seen(api: Api, slug: str = "shop") -> dict[str, Any]:
    """What the public sees."""
    token, api.token = api.token, None
    answer = await api.call("GET", f"/status-pages/{slug}")
    api.token = token
    assert answer.status == 200, answer
    page: dict[str, Any] = answer.json
    return page


async def pushed(api: Api, monitor: dict[str, Any], status: str = "up", **fields: Any) -> None:
    answer = await api.call("POST", f"/push/{monitor['pushId']}", {"status": status, **fields})
    assert answer.status == 200, answer


async def test_pages_are_kept_by_those_who_are_logged_in(api: Api) -> None:
    shop, mail = await api.push_monitor("Shop"), await api.push_monitor("Mail")
    page = await made(api, monitors=[mail["id"], shop["id"]])
    assert page == {
        "slug": "shop", "title": "Our shop", "description": "", "published": True, "monitors": [mail["id"], shop["id"]],
        "createdAt": page["createdAt"], "updatedAt": page["createdAt"],
    }  # fmt: skip
    answer = await api.call("GET", "/status-pages")
    assert answer.json == {"statusPages": [page], "pagination": {"page": 1, "limit": 20, "total": 1, "pages": 1}}
    sent_back = await api.call("PUT", "/status-pages/shop", page)
    assert sent_back.json == {**page, "updatedAt": sent_back.json["updatedAt"]}
    changed = (await api.call("PATCH", "/status-pages/shop", {"slug": "our-shop", "monitors": [shop["id"]]})).json
    assert (changed["slug"], changed["monitors"], changed["title"]) == ("our-shop", [shop["id"]], "Our shop")
    assert_refused(await api.call("GET", "/status-pages/shop"), 404, "NOT_FOUND")
    assert (await seen(api, "our-shop"))["monitors"][0]["name"] == "Shop"
    assert (await api.call("DELETE", "/status-pages/our-shop")).status == 204
    assert_refused(await api.call("GET", "/status-pages/our-shop"), 404, "NOT_FOUND")
    assert (await api.call("GET", "/status-pages")).json["statusPages"] == []
    for method in ("PATCH", "DELETE"):
        assert_refused(await api.call(method, "/status-pages/our-shop", {}), 404, "NOT_FOUND")
    api.token = None
    assert_refused(await api.call("GET", "/status-pages"), 401, "UNAUTHORIZED")
    assert_refused(await api.call("POST", "/status-pages", {}), 401, "UNAUTHORIZED")


async def test_a_slug_is_one_pages_only(api: Api) -> None:
    await made(api)
    await made(api, "mail")
    again = {"slug": "shop", "title": "x"}
    assert_refused(await api.call("POST", "/status-pages", again), 409, "CONFLICT", {"slug"})
    assert_refused(await api.call("PATCH", "/status-pages/mail", {"slug": "shop"}), 409, "CONFLICT", {"slug"})
    assert (await seen(api, "mail"))["slug"] == "mail"
    api.token = await stranger(api)
    assert_refused(await api.call("POST", "/status-pages", again), 409, "CONFLICT", {"slug"})


async def test_another_workspace_keeps_its_own_pages(api: Api) -> None:
    shop = await api.push_monitor("Shop")
    page = await made(api, monitors=[shop["id"]])
    owner, api.token = api.token, await stranger(api)
    assert (await api.call("GET", "/status-pages")).json["statusPages"] == []
    for method in ("PATCH", "DELETE"):
        assert_refused(await api.call(method, "/status-pages/shop", {}), 404, "NOT_FOUND")
    answer = await api.call("POST", "/status-pages", {"slug": "x", "title": "x", "monitors": [shop["id"]]})
    assert_refused(answer, 422, "VALIDATION_ERROR", {"monitors"})
    api.token = owner
    assert (await api.call("GET", "/status-pages")).json["statusPages"] == [page]


@pytest.mark.parametrize("slug", ["", "Shop", "a b", "a/b", "-a", "a-", "a--b", "ä", "a\n", "a" * 101])
async def test_a_slug_is_made_for_addresses(api: Api, slug: str) -> None:
    answer = await api.call("POST", "/status-pages", {"slug": slug, "title": "x"})
    assert "letters, digits and hyphens" in str(answer.json)
    assert_refused(answer, 422, "VALIDATION_ERROR", {"slug"})


async def test_all_that_is_wrong_is_said_at_once(api: Api) -> None:
    fields = {"slug": "a", "title": "", "published": 1, "monitors": "monitor-1", "colour": "red"}
    answer = await api.call("POST", "/status-pages", fields)
    assert_refused(answer, 422, "VALIDATION_ERROR", {"title", "published", "monitors", "colour"})
    answer = await api.call("POST", "/status-pages", {"slug": "a", "title": "x", "monitors": ["monitor-9", "x"]})
    assert "monitor-9, x" in str(answer.json)
    assert_refused(answer, 422, "VALIDATION_ERROR", {"monitors"})
