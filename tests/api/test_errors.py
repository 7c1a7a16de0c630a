"""Every error has the one shape, whoever raises it."""

from __future__ import annotations

import gc
import logging
import re
from typing import Any, NoReturn
from urllib.parse import quote

import httpx
import msgspec
import pytest
import trio
import trio.testing
from quart import Request

from peekaping.api.bodies import read
from peekaping.api.errors import ApiError
from peekaping.api.openapi import operations
from peekaping.engine.errors import Overloaded, Stopped
from peekaping.engine.ports import StoreFailed
from tests.api.support import Api, assert_refused, serving


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/nothing", "/api/v1//monitors", "/api/v1/monitors/", "/api/v2/monitors"]
)
async def test_an_unknown_address_is_a_404_also_for_nobody(api: Api, path: str) -> None:
    assert_refused(await api.call("GET", path, prefix=""), 404, "NOT_FOUND")
    api.token = None
    assert_refused(await api.call("GET", path, prefix=""), 404, "NOT_FOUND")


async def test_a_wrong_method_is_a_405_that_names_the_right_ones(api: Api) -> None:
    answer = await api.call("DELETE", "/monitors")
    assert_refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert {"GET", "POST"} <= {method.strip() for method in answer.headers["Allow"].split(",")}


@pytest.mark.parametrize("data", [b"{", b"\xff", b'{"name": NaN}', b"[" * 100_000, b'{"name":"\\ud800"}'])
async def test_broken_json_is_a_400(api: Api, data: bytes) -> None:
    for method, path in (("POST", "/monitors"), ("POST", "/auth/login"), ("POST", "/auth/logout")):
        assert_refused(await api.call(method, path, data=data), 400, "INVALID_JSON")


@pytest.mark.parametrize("data", [b"[]", b'"text"', b"null", b"5"])
async def test_json_that_is_no_object_is_a_422(api: Api, data: bytes) -> None:
    assert_refused(await api.call("POST", "/monitors", data=data), 422, "VALIDATION_ERROR", {"body"})


async def test_every_field_of_a_body_says_in_words_what_it_takes(api: Api) -> None:
    """Those of monitors and channels are judged by the engine; `test_monitor_fields.py` and `test_channels.py` have them."""
    bodies = {operation.body for operation in operations(api.app) if isinstance(operation.body, type)}
    kinds = [kind for kind in bodies if kind.__name__ != "ChannelChanges" and "models" not in kind.__module__]
    assert len(kinds) > 15
    for kind in kinds:
        # A list in a list, which none of them takes.
        fields: dict[str, Any] = {field.encode_name: [[]] for field in msgspec.structs.fields(kind)}
        with pytest.raises(ApiError) as caught:
            read(kind, fields, "Invalid")
        assert set(caught.value.details) == set(fields)
        for texts in caught.value.details.values():
            assert " must be " in str(texts), f"{kind.__name__}: {texts}"


async def test_wrong_values_are_told_in_words(api: Api) -> None:
    answer = await api.call("POST", "/auth/refresh", {"refreshToken": 5})
    assert answer.json["error"]["details"] == {"refreshToken": ["RefreshToken must be a text of 1 to 1000 characters"]}
    answer = await api.call("GET", "/incidents?resolved=perhaps&page=0")
    assert answer.json["error"]["details"] == {
        "resolved": ["Resolved must be true or false"],
        "page": ["Page must be a whole number from 1"],
    }
    monitor = await api.push_monitor()
    answer = await api.call("POST", f"/push/{monitor['pushId']}", {"ping": -1, "status": 5})
    assert answer.json["error"]["details"] == {
        "ping": ["Ping must be a number of milliseconds from 0 to 86400000"],
        "status": ["Status must be one of: up, down"],
    }


async def test_a_websocket_asked_for_as_a_page_is_a_426(api: Api) -> None:
    answer = await api.call("GET", "/ws", prefix="")
    assert "is a WebSocket" in assert_refused(answer, 426, "UPGRADE_REQUIRED")
    assert (answer.headers["Upgrade"], answer.headers["Connection"]) == ("websocket", "Upgrade")
    async with serving(api) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        over_a_socket = await client.get("/ws")
        assert over_a_socket.json() == answer.json
        assert (await client.get("/health")).status_code == 200, "the connection goes on"


async def test_a_page_asked_for_as_a_websocket_is_told_where_the_websocket_is(api: Api) -> None:
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    async with serving(api) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/health", headers={**handshake, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "This address is no WebSocket; /ws is"


async def test_a_refused_request_is_forgotten_without_the_collector(api: Api) -> None:
    await api.call("POST", "/nothing", data=b"x")  # what is made once is there
    gc.collect()
    gc.disable()
    try:
        for method, path in (("POST", "/nothing"), ("DELETE", "/monitors"), ("GET", "/monitors/monitor-99")):
            await api.call(method, path, data=b"x" * 1000)
        await trio.testing.wait_all_tasks_blocked()
        held = [found for found in gc.get_objects() if isinstance(found, Request)]
    finally:
        gc.enable()
    assert not held


async def test_too_large_a_body_is_a_413(api: Api) -> None:
    assert_refused(await api.call("POST", "/monitors", data=b" " * (1024 * 1024 + 1)), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreFailed("disk full"), 503, "SERVICE_UNAVAILABLE"),
        (Stopped("stopping"), 503, "SERVICE_UNAVAILABLE"),
        (trio.ClosedResourceError("the database is closed"), 503, "SERVICE_UNAVAILABLE"),
        (Overloaded("too many"), 429, "RATE_LIMIT_EXCEEDED"),
    ],
)
async def test_what_the_engine_refuses_says_when_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    async def fail(*args: Any, **kwargs: Any) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise error

    monkeypatch.setattr(api.engine, "add", fail)
    answer = await api.call("POST", "/monitors", {})
    assert_refused(answer, status, code)
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_bug_is_a_500_that_tells_the_log_once_and_the_client_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*asked: object, **filters: object) -> NoReturn:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(api.engine, "page", fail)
    with caplog.at_level(logging.INFO):
        answer = await api.call("GET", "/monitors")
    assert_refused(answer, 500, "INTERNAL_ERROR")
    assert "secret" not in str(answer)
    assert caplog.text.count("RuntimeError: the secret reason") == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/monitors"),
        ("POST", "/monitors"),
        ("GET", "/monitors/monitor-1"),
        ("PUT", "/monitors/monitor-1"),
        ("DELETE", "/monitors/monitor-1"),
        ("POST", "/monitors/monitor-1/pause"),
        ("GET", "/monitors/monitor-1/heartbeats"),
        ("GET", "/monitors/monitor-1/stats"),
        ("GET", "/stats/overview"),
        ("POST", "/auth/logout"),
    ],
)
async def test_nobody_gets_in_without_a_token(api: Api, method: str, path: str) -> None:
    api.token = None
    for headers in ({}, {"Authorization": "Basic dXNlcjpwYXNz"}, {"Authorization": "Bearer"}):
        answer = await api.call(method, path, headers=headers)
        assert_refused(answer, 401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("text", [rb"\ud800", rb"x\udc00, and more", b"\xed\xa0\x80"])
async def test_no_route_stumbles_over_text_that_is_none(api: Api, text: bytes) -> None:
    """Half a surrogate pair and the like, in a body, a path, a query value."""
    body = b'{"name":"%b","title":"%b","email":"%b","type":"%b","config":{"url":"%b"}}' % ((text,) * 5)
    asked = list(operations(api.app))
    assert len(asked) > 50
    for operation in asked:
        path = re.sub(r"{\w+}", quote(text), operation.path)
        answer = await api.call(operation.method.upper(), f"{path}?page={quote(text)}", data=body, prefix="")
        assert answer.status < 500, (operation.method, operation.path, answer)
        if operation.body is not None and "{" not in operation.path:
            assert answer.status in (400, 422), (operation.method, operation.path, answer)
