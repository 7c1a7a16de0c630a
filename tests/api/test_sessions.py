"""POST /auth/refresh and /auth/logout, and what access tokens are good for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from peekaping.api.app import create_app
from peekaping.api.auth import ACCESS_MS, REFRESH_MS
from peekaping.store.accounts import Accounts, Role
from tests.api.support import UNLIMITED, Answer, Api, assert_refused, running


async def use(api: Api, token: str) -> Answer:
    return await api.call("GET", "/stats/overview", headers={"Authorization": f"Bearer {token}"})


async def refresh(api: Api, token: str) -> Answer:
    return await api.call("POST", "/auth/refresh", {"refreshToken": token})


async def test_refreshing_works_and_gives_a_new_pair(api: Api) -> None:
    api.token = None
    first = (await api.login()).json
    api.clock.ahead_ms = 2 * ACCESS_MS
    second = await refresh(api, first["refreshToken"])
    assert second.status == 200
    assert set(second.json) == {"accessToken", "refreshToken", "user"}
    assert second.json["refreshToken"] != first["refreshToken"]
    assert (await use(api, second.json["accessToken"])).status == 200


async def test_an_access_token_ends_after_a_quarter_of_an_hour(api: Api) -> None:
    token = (await api.login()).json["accessToken"]
    api.clock.ahead_ms = ACCESS_MS - 10_000
    assert (await use(api, token)).status == 200
    api.clock.ahead_ms = ACCESS_MS + 1
    answer = await use(api, token)
    assert "expired" in assert_refused(answer, 401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_refresh_token_used_twice_ends_the_session_and_its_access_tokens(api: Api) -> None:
    first = (await api.login()).json
    second = (await refresh(api, first["refreshToken"])).json
    assert_refused(await refresh(api, first["refreshToken"]), 401, "UNAUTHORIZED")
    assert_refused(await refresh(api, second["refreshToken"]), 401, "UNAUTHORIZED")
    assert_refused(await use(api, second["accessToken"]), 401, "UNAUTHORIZED")
    assert api.token is not None
    assert (await use(api, api.token)).status == 200  # another session goes on


async def test_a_refresh_token_ends_after_thirty_days(api: Api) -> None:
    token = (await api.login()).json["refreshToken"]
    api.clock.ahead_ms = REFRESH_MS + 1000
    assert_refused(await refresh(api, token), 401, "UNAUTHORIZED")


@pytest.mark.parametrize("token", ["", ".", "x.y", "no-such-session.secret", "é.ü"])
async def test_what_is_no_refresh_token_is_refused(api: Api, token: str) -> None:
    assert (await refresh(api, token)).status in (401, 422)


async def test_logout_needs_no_body_and_ends_this_session_alone(api: Api) -> None:
    other = (await api.login()).json
    answer = await api.call("POST", "/auth/logout")
    assert (answer.status, answer.json) == (204, None)
    assert_refused(await api.call("GET", "/monitors"), 401, "UNAUTHORIZED")
    assert (await use(api, other["accessToken"])).status == 200


async def test_a_session_that_was_logged_out_cannot_be_refreshed(api: Api) -> None:
    tokens = (await api.login()).json
    api.token = tokens["accessToken"]
    await api.call("POST", "/auth/logout")
    assert_refused(await refresh(api, tokens["refreshToken"]), 401, "UNAUTHORIZED")


async def test_logging_out_everywhere_ends_every_session_of_the_user(api: Api) -> None:
    other = (await api.login()).json
    assert (await api.call("POST", "/auth/logout", {"all": True})).status == 204
    assert_refused(await api.call("GET", "/monitors"), 401, "UNAUTHORIZED")
    assert_refused(await use(api, other["accessToken"]), 401, "UNAUTHORIZED")
    assert_refused(await refresh(api, other["refreshToken"]), 401, "UNAUTHORIZED")


async def test_a_restart_forgets_neither_logins_nor_logouts(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        kept, ended = (await api.login()).json["accessToken"], api.token
        await api.call("POST", "/auth/logout")
    async with running(tmp_path) as api:
        assert (await use(api, kept)).status == 200
        assert ended is not None
        assert_refused(await use(api, ended), 401, "UNAUTHORIZED")


async def test_a_token_works_in_either_header(api: Api) -> None:
    token, api.token = api.token, None
    assert token is not None
    assert (await api.call("GET", "/monitors", headers={"X-API-Key": token})).status == 200
    assert (await api.call("GET", "/monitors", headers={"Authorization": f"bearer {token}"})).status == 200


async def test_a_token_that_was_tampered_with_is_refused(api: Api) -> None:
    assert api.token is not None
    claims = jwt.decode(api.token, options={"verify_signature": False})
    forged = [
        jwt.encode(claims, "another key of thirty-two letters", algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        api.token[:-2],
        "not-a-token",
    ]
    for token in forged:
        assert_refused(await use(api, token), 401, "UNAUTHORIZED")


async def test_another_app_over_the_same_accounts_takes_the_same_tokens(api: Api) -> None:
    twin = Api(
        await create_app(api.engine, api.database, UNLIMITED, utc_ms=api.clock, stopping=api.stopping),
        api.engine,
        api.database,
        api.clock,
        api.stopping,
        api.token or "",
    )
    assert (await twin.call("GET", "/monitors")).status == 200


async def test_a_login_beside_a_change_of_rights_gives_no_token_of_the_old(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_session = Accounts.open_session

    async def overtaken(self: Accounts, user_id: int, *args: Any) -> str:
        await self.change_user(user_id, api.clock(), role=Role.VIEWER)
        return await open_session(self, user_id, *args)

    monkeypatch.setattr(Accounts, "open_session", overtaken)
    assert_refused(await api.login(), 401, "UNAUTHORIZED")
    monkeypatch.undo()
    assert (await use(api, (await api.login()).json["accessToken"])).status == 200
