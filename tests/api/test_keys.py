"""/api-keys, and what keys are good for."""

from __future__ import annotations

from pathlib import Path

import pytest

from peekaping.api.keyring import PER_USER
from peekaping.api.settings import ApiSettings
from peekaping.engine.records import iso
from peekaping.store.accounts import Role
from tests.api.support import Answer, Api, assert_refused, bearer, running


async def look(api: Api, key: str) -> Answer:
    return await api.call("GET", "/monitors", headers=bearer(key))


async def test_a_key_is_shown_once_and_works_in_either_header(api: Api) -> None:
    made = await api.key("read", "write")
    assert made == {
        "id": "key-1",
        "name": "script",
        "prefix": made["key"][:11],
        "scopes": ["read", "write"],
        "createdAt": made["createdAt"],
        "expiresAt": None,
        "lastUsedAt": None,
        "key": made["key"],
    }
    assert made["key"].startswith("peek_")
    token, api.token = api.token, None
    assert (await look(api, made["key"])).status == 200
    assert (await api.call("GET", "/monitors", headers={"X-API-Key": made["key"]})).status == 200
    api.token = token
    (listed,) = (await api.call("GET", "/api-keys")).json["apiKeys"]
    assert listed.pop("lastUsedAt") is not None
    assert listed.items() <= made.items()
    assert "key" not in listed


async def test_wrong_fields_are_named_at_once(api: Api) -> None:
    body = {"name": "", "scopes": ["read", "own"], "expiresAt": "tomorrow", "x": 1}
    answer = await api.call("POST", "/api-keys", body)
    assert_refused(answer, 422, "VALIDATION_ERROR", {"name", "scopes", "expiresAt", "x"})
    past = {"name": "x", "scopes": ["read"], "expiresAt": "2020-01-01T00:00:00Z"}
    assert_refused(await api.call("POST", "/api-keys", past), 422, "VALIDATION_ERROR", {"expiresAt"})
    assert_refused(
        await api.call("POST", "/api-keys", {"name": "x", "scopes": []}), 422, "VALIDATION_ERROR", {"scopes"}
    )


async def test_an_end_that_no_calendar_has_in_utc_is_refused(api: Api) -> None:
    body = {"name": "x", "scopes": ["read"], "expiresAt": "9999-12-31T23:59:59-01:00"}
    assert_refused(await api.call("POST", "/api-keys", body), 422, "VALIDATION_ERROR", {"expiresAt"})
    made = await api.key(expiresAt="9999-12-31T23:59:59Z")
    (listed,) = (await api.call("GET", "/api-keys")).json["apiKeys"]
    assert listed["expiresAt"] == made["expiresAt"] == "9999-12-31T23:59:59.000Z"


async def test_a_revoked_key_ends_at_once_and_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        kept, revoked = await api.key(), await api.key()
        assert (await api.call("DELETE", f"/api-keys/{revoked['id']}")).status == 204
        assert_refused(await look(api, revoked["key"]), 401, "UNAUTHORIZED")
        assert_refused(await api.call("DELETE", f"/api-keys/{revoked['id']}"), 404, "NOT_FOUND")
    async with running(tmp_path) as api:
        assert (await look(api, kept["key"])).status == 200
        assert_refused(await look(api, revoked["key"]), 401, "UNAUTHORIZED")


async def test_a_key_ends_when_it_expires(api: Api) -> None:
    key = await api.key(expiresAt=iso(api.clock() + 60_000))
    assert (await look(api, key["key"])).status == 200
    api.clock.ahead_ms = 61_000
    assert "expired" in assert_refused(await look(api, key["key"]), 401, "UNAUTHORIZED")


async def test_a_key_can_do_no_more_than_its_scope_and_its_user(api: Api) -> None:
    new = {"type": "push", "name": "job"}
    read, write = (await api.key("read"))["key"], (await api.key("write"))["key"]
    assert "scope" in assert_refused(await api.call("POST", "/monitors", new, headers=bearer(read)), 403, "FORBIDDEN")
    assert (await api.call("POST", "/monitors", new, headers=bearer(write))).status == 201
    viewer = await api.user("viewer@example.com", Role.VIEWER)
    theirs = (await api.key("write", token=viewer))["key"]
    assert_refused(await api.call("POST", "/monitors", new, headers=bearer(theirs)), 403, "FORBIDDEN")
    assert (await api.call("PUT", "/users/user-2", {"role": "editor"})).status == 200
    assert (await api.call("POST", "/monitors", new, headers=bearer(theirs))).status == 201


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api-keys"), ("POST", "/auth/password"), ("POST", "/auth/logout")]
)
async def test_a_key_makes_no_keys_and_changes_no_password(api: Api, method: str, path: str) -> None:
    key = (await api.key("write"))["key"]
    message = assert_refused(await api.call(method, path, {}, headers=bearer(key)), 403, "FORBIDDEN")
    assert "needs a login" in message


async def test_keys_are_ones_own(api: Api) -> None:
    key = await api.key()
    api.token = await api.user("other@example.com")
    assert (await api.call("GET", "/api-keys")).json == {"apiKeys": []}
    assert_refused(await api.call("DELETE", f"/api-keys/{key['id']}"), 404, "NOT_FOUND")
    assert (await look(api, key["key"])).status == 200


async def test_a_users_keys_share_the_users_rate_limit(tmp_path: Path) -> None:
    async with running(tmp_path, ApiSettings(rate_limit_per_minute=4)) as api:
        one, two = await api.key(), await api.key()
        statuses = [(await look(api, key["key"])).status for key in (one, two, one, two)]
        assert statuses == [200, 200, 429, 429]


async def test_a_user_may_have_so_many_keys(api: Api) -> None:
    for _ in range(PER_USER):
        await api.key()
    assert_refused(await api.call("POST", "/api-keys", {"name": "x", "scopes": ["read"]}), 409, "CONFLICT")


async def test_the_last_use_is_remembered_once_a_minute(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        key = (await api.key())["key"]
        used = []
        for ahead_ms in (0, 30_000, 61_000):
            api.clock.ahead_ms = ahead_ms
            assert (await look(api, key)).status == 200
            row = await api.database.read(lambda db: db.execute("SELECT used FROM api_key").fetchone())
            used.append(row[0])
        assert used[0] == used[1] < used[2]
        (key_hash,) = await api.database.read(lambda db: db.execute("SELECT hash FROM api_key").fetchone())
        assert key.encode() not in key_hash
