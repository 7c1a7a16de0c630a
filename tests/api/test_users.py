"""/users, /workspaces, /auth/me and /auth/password."""

from __future__ import annotations

from typing import Any

import pytest

from peekaping.store.accounts import Role
from tests.api.support import EMAIL, PASSWORD, Answer, Api, assert_refused, bearer, running

NEW = {"email": "ada@example.com", "name": "Ada", "password": "a long password", "role": "editor"}


async def add(api: Api, **fields: Any) -> Answer:
    return await api.call("POST", "/users", {**NEW, **fields})


async def use(api: Api, token: str) -> Answer:
    return await api.call("GET", "/auth/me", headers=bearer(token))


async def test_a_user_is_added_shown_and_can_log_in(api: Api) -> None:
    answer = await add(api)
    assert answer.status == 201
    assert answer.json == {
        "id": "user-2",
        "email": "ada@example.com",
        "name": "Ada",
        "role": "editor",
        "workspaceId": "workspace-1",
        "operator": False,
        "totp": False,
        "createdAt": answer.json["createdAt"],
    }
    assert (await api.call("GET", "/users/user-2")).json == answer.json
    listed = (await api.call("GET", "/users")).json
    assert [user["email"] for user in listed["users"]] == [EMAIL, "ada@example.com"]
    assert listed["pagination"] == {"page": 1, "limit": 20, "total": 2, "pages": 1}
    token = (await api.login("a long password", email="ada@example.com")).json["accessToken"]
    assert (await use(api, token)).json == answer.json


async def test_wrong_fields_are_named_at_once_and_add_nobody(api: Api) -> None:
    answer = await add(api, email="nobody", name="", password="short", role="king", extra=1)
    assert_refused(answer, 422, "VALIDATION_ERROR", {"email", "name", "password", "role", "extra"})
    assert_refused(await add(api, email="ada@example.com\n"), 422, "VALIDATION_ERROR", {"email"})
    assert_refused(await add(api, workspaceId="workspace-9"), 422, "VALIDATION_ERROR", {"workspaceId"})
    assert (await api.call("GET", "/users")).json["pagination"]["total"] == 1


async def test_an_email_belongs_to_one_user(api: Api) -> None:
    await add(api)
    assert_refused(await add(api, email="ADA@example.com"), 409, "CONFLICT", {"email"})
    assert_refused(await api.call("PUT", "/users/user-2", {"email": EMAIL}), 409, "CONFLICT", {"email"})


@pytest.mark.parametrize("id", ["user-01", "user-0", "user-", "User-1", "1", "user-" + "1" * 30])
async def test_only_the_id_itself_finds_a_user(api: Api, id: str) -> None:
    assert_refused(await api.call("GET", f"/users/{id}"), 404, "NOT_FOUND")
    assert_refused(await add(api, workspaceId="workspace-01"), 422, "VALIDATION_ERROR", {"workspaceId"})


async def test_what_was_read_can_be_sent_back_and_changes_nothing(api: Api) -> None:
    shown = (await add(api)).json
    token = (await api.login("a long password", email="ada@example.com")).json["accessToken"]
    assert (await api.call("PUT", "/users/user-2", shown)).json == shown
    assert (await use(api, token)).status == 200


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"password": "another password"}, {"operator": True}])
async def test_other_rights_or_another_password_end_the_logins(api: Api, change: dict[str, Any]) -> None:
    await add(api)
    tokens = (await api.login("a long password", email="ada@example.com")).json
    assert (await api.call("PATCH", "/users/user-2", change)).status == 200
    assert_refused(await use(api, tokens["accessToken"]), 401, "UNAUTHORIZED")
    answer = await api.call("POST", "/auth/refresh", {"refreshToken": tokens["refreshToken"]})
    assert_refused(answer, 401, "UNAUTHORIZED")
    again = await api.login(change.get("password", "a long password"), email="ada@example.com")
    assert again.status == 200


async def test_another_name_ends_nothing(api: Api) -> None:
    await add(api)
    token = (await api.login("a long password", email="ada@example.com")).json["accessToken"]
    assert (await api.call("PATCH", "/users/user-2", {"name": "Countess"})).json["name"] == "Countess"
    assert (await use(api, token)).json["name"] == "Countess"


async def test_a_user_who_is_deleted_is_gone_with_logins_and_keys(api: Api) -> None:
    token = await api.user("ada@example.com")
    key = (await api.key("write", token=token))["key"]
    assert (await api.call("DELETE", "/users/user-2")).status == 204
    for proof in (token, key):
        assert_refused(await use(api, proof), 401, "UNAUTHORIZED")
    assert_refused(await api.login(email="ada@example.com"), 401, "UNAUTHORIZED")
    assert_refused(await api.call("GET", "/users/user-2"), 404, "NOT_FOUND")


async def test_nobody_takes_their_own_rights_or_account_away(api: Api) -> None:
    for change in ({"role": "viewer"}, {"operator": False}, {"password": "another password"}):
        assert_refused(await api.call("PUT", "/users/user-1", change), 409, "CONFLICT")
    assert_refused(await api.call("DELETE", "/users/user-1"), 409, "CONFLICT")
    assert (await api.call("PUT", "/users/user-1", {"name": "Me"})).status == 200


async def test_an_administrator_has_no_power_over_operators_and_makes_none(api: Api) -> None:
    api.token = await api.user("admin@example.com")
    for change in ({"name": "x"}, {"password": "another password"}, {"role": "viewer"}):
        assert_refused(await api.call("PUT", "/users/user-1", change), 403, "FORBIDDEN")
    assert_refused(await api.call("DELETE", "/users/user-1"), 403, "FORBIDDEN")
    assert_refused(await api.call("DELETE", "/users/user-1/totp"), 403, "FORBIDDEN")
    assert_refused(await add(api, operator=True), 403, "FORBIDDEN")
    assert (await add(api)).status == 201
    assert_refused(await api.call("PUT", "/users/user-3", {"operator": True}), 403, "FORBIDDEN")
    assert (await api.call("GET", "/users/user-3")).json["operator"] is False


async def test_an_operator_makes_workspaces_and_users_in_them(api: Api) -> None:
    made = await api.call("POST", "/workspaces", {"name": "Elsewhere"})
    assert (made.status, made.json["id"], made.json["name"]) == (201, "workspace-2", "Elsewhere")
    assert_refused(await api.call("POST", "/workspaces", {"name": "elsewhere"}), 409, "CONFLICT", {"name"})
    listed = (await api.call("GET", "/workspaces")).json["workspaces"]
    assert [workspace["name"] for workspace in listed] == ["Default", "Elsewhere"]
    assert (await add(api, workspaceId="workspace-2", role="admin")).json["workspaceId"] == "workspace-2"
    assert (await api.call("GET", "/users/user-2")).status == 200
    api.token = (await api.login("a long password", email="ada@example.com")).json["accessToken"]
    assert_refused(await add(api, email="b@example.com", workspaceId="workspace-1"), 403, "FORBIDDEN")
    assert (await add(api, email="b@example.com", workspaceId="workspace-2")).status == 201
    assert [user["email"] for user in (await api.call("GET", "/users")).json["users"]] == [
        "ada@example.com",
        "b@example.com",
    ]


async def test_changing_ones_password_needs_the_old_one_and_ends_every_login(api: Api) -> None:
    other = (await api.login()).json["accessToken"]
    wrong = {"currentPassword": "wrong", "newPassword": "another password"}
    answer = await api.call("POST", "/auth/password", wrong)
    assert_refused(answer, 422, "VALIDATION_ERROR", {"currentPassword"})
    short = {"currentPassword": PASSWORD, "newPassword": "short"}
    assert_refused(await api.call("POST", "/auth/password", short), 422, "VALIDATION_ERROR", {"newPassword"})
    assert (await use(api, other)).status == 200
    right = {"currentPassword": PASSWORD, "newPassword": "another password"}
    assert (await api.call("POST", "/auth/password", right)).status == 204
    for token in (api.token or "", other):
        assert_refused(await use(api, token), 401, "UNAUTHORIZED")
    assert_refused(await api.login(), 401, "UNAUTHORIZED")
    assert (await api.login("another password")).status == 200


async def test_guessing_the_current_password_is_slowed_down(api: Api) -> None:
    wrong = {"currentPassword": "wrong", "newPassword": "another password"}
    statuses = [(await api.call("POST", "/auth/password", wrong)).status for _ in range(12)]
    assert statuses == [422] * 10 + [429] * 2


async def test_a_viewer_does_not_see_what_would_let_them_report(api: Api) -> None:
    monitor = await api.push_monitor()
    for token, shown in (
        (await api.user("viewer@example.com", Role.VIEWER), "********"),
        ((await api.key("read"))["key"], "********"),
        (await api.user("editor@example.com", Role.EDITOR), monitor["pushId"]),
    ):
        headers = bearer(token)
        assert (await api.call("GET", f"/monitors/{monitor['id']}", headers=headers)).json["pushId"] == shown
        assert (await api.call("GET", "/monitors", headers=headers)).json["monitors"][0]["pushId"] == shown


async def test_rights_survive_a_restart(tmp_path: Any) -> None:
    async with running(tmp_path) as api:
        token = await api.user("viewer@example.com", Role.VIEWER)
        key = await api.key("read", token=token)
    async with running(tmp_path) as api:
        for proof in (token, key["key"]):
            assert (await use(api, proof)).json["role"] == "viewer"
            assert_refused(await api.call("POST", "/monitors", {}, headers=bearer(proof)), 403, "FORBIDDEN")
