"""Pages of other origins, as a browser asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trio_websocket import ConnectionRejected

from peekaping.api.settings import ApiSettings
from tests.api.support import Answer, Api, running, serving, websocket
from tests.api.test_live import Socket

DASHBOARD, ELSEWHERE = "https://dash.example.com", "https://evil.example"


@pytest.fixture
async def open_api(tmp_path: Path) -> AsyncIterator[Api]:
    settings = ApiSettings(rate_limit_per_hour=1000, rate_limit_per_minute=5, allowed_origins=(DASHBOARD,))
    async with running(tmp_path, settings) as api:
        yield api


async def preflight(api: Api, origin: str, path: str = "/monitors/monitor-1") -> Answer:
    """What a browser sends before a request with a token: without it, and without a body."""
    api.token = None
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,content-type"}
    return await api.call("OPTIONS", path, headers={"Origin": origin, **asked})


def listed(answer: Answer, header: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers.get(header, "").split(",")}


async def test_a_preflight_of_an_allowed_origin_needs_no_login_and_counts_for_nothing(open_api: Api) -> None:
    for _ in range(10):
        answer = await preflight(open_api, DASHBOARD)
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == DASHBOARD
        assert "put" in listed(answer, "Access-Control-Allow-Methods")
        assert {"authorization", "content-type", "x-api-key"} <= listed(answer, "Access-Control-Allow-Headers")


async def test_an_allowed_origin_may_read_answers_refusals_and_limits(open_api: Api) -> None:
    headers, token = {"Origin": DASHBOARD}, open_api.token
    answers = [await open_api.call("GET", "/monitors", headers=headers)]
    open_api.token = None
    answers.append(await open_api.call("GET", "/monitors", headers=headers))
    answers.append(await open_api.call("GET", "/nothing", headers=headers))
    open_api.token = token
    answers += [await open_api.call("GET", "/monitors", headers=headers) for _ in range(5)]
    assert {answer.status for answer in answers} == {200, 401, 404, 429}
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == DASHBOARD
        assert answer.headers["Vary"] == "Origin"
        assert {"retry-after", "x-ratelimit-remaining"} <= listed(answer, "Access-Control-Expose-Headers")
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", [ELSEWHERE, "null", f"{DASHBOARD}.evil.example", f"{DASHBOARD}:8443", "http://dash.example.com"]
)
async def test_no_other_origin_is_let_in(open_api: Api, origin: str) -> None:
    answer = await open_api.call("GET", "/monitors", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Vary"] == "Origin", "a cache must not give one origin's answer to another"
    refused = await preflight(open_api, origin)
    assert refused.status == 401
    assert "Access-Control-Allow-Origin" not in refused.headers


async def test_without_the_setting_nothing_is_said_of_origins(api: Api) -> None:
    answer = await api.call("GET", "/monitors", headers={"Origin": DASHBOARD})
    assert "Vary" not in answer.headers
    assert "access-control" not in str(answer.headers).lower()
    assert (await preflight(api, DASHBOARD)).status == 401


async def test_the_websocket_lets_the_same_origins_in(open_api: Api) -> None:
    async with serving(open_api) as port:
        async with websocket(port, (b"Origin", DASHBOARD.encode())) as connection:
            await Socket(connection).login(open_api)
        with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True, allow_unwrapped=True):
            async with websocket(port, (b"Origin", ELSEWHERE.encode())):
                raise AssertionError("the handshake succeeded")


async def test_looking_at_pages_leaves_room_to_log_in(open_api: Api) -> None:
    open_api.token = None
    statuses = {(await open_api.call("GET", path, prefix="")).status for path in ["/", "/favicon.ico"] * 5}
    assert statuses == {200, 429}
    assert (await open_api.login()).status == 200
