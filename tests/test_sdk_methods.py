"""The SDK's calls: there is one for each endpoint, in both clients, and each sends what it is given. No socket."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Callable, Generator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import pytest

from peekaping import AsyncPeekapingClient, ClientError, PeekapingClient
from peekaping.calls import JsonObject, JsonObjects, Request
from peekaping.methods import Calls, Method
from peekaping.resources import Server
from tests.test_sdk_calls import play

CALLS: Server[Any] = Server(lambda call: call)
"""Its calls give their generators."""
ENDPOINTS = Path(__file__).parent.parent / "docs" / "endpoints.md"
NOT_IN_THE_SDK = {
    *("GET /", "GET /favicon.ico", "GET /docs", "GET /openapi.json", "GET /status/{}"),  # for a browser
    *("GET /health", "GET /api/v1/health"),  # for whoever watches the server
    "GET /api/v1/push/{}",  # the same as POST
    *("POST /api/v1/auth/login", "POST /api/v1/auth/refresh"),  # the client logs in by itself; the rest is for people
    *("POST /api/v1/auth/logout", "POST /api/v1/auth/password"),
    *("POST /api/v1/auth/totp", "POST /api/v1/auth/totp/confirm", "POST /api/v1/auth/totp/disable"),
}


def shortest(call: Any) -> Generator[Request, Any, Any]:
    """The call with what it must be given, and no more; ids are "x"."""
    needed = [one for one in inspect.signature(call).parameters.values() if one.default is one.empty]
    made: Generator[Request, Any, Any] = call(
        *({"Fields": {}, "IO[bytes]": io.BytesIO()}.get(one.annotation, "x") for one in needed)
    )
    return made


def endpoint(call: Generator[Request, Any, Any]) -> str:
    """What a call asks first."""
    request = next(call)
    return f"{request.method} /api/v1{request.path}".replace("/x", "/{}")


def test_there_is_a_call_for_every_endpoint() -> None:
    rows = re.findall(r"^\| ([A-Z]+) \| `([^`]+)`", ENDPOINTS.read_text(), re.MULTILINE)
    endpoints = {f"{method} " + re.sub(r"{\w+}", "{}", path) for method, path in rows if method != "PUT"}  # it is PATCH
    groups = [CALLS, *(group for group in vars(CALLS).values() if isinstance(group, Calls))]
    asked = [
        endpoint(shortest(getattr(group, name)))
        for group in groups
        for name, _ in inspect.getmembers_static(type(group), lambda member: isinstance(member, Method))
    ]
    asked.append(endpoint(CALLS.monitors.export("x", io.BytesIO(), format="json")))
    assert sorted(asked) == sorted(endpoints - NOT_IN_THE_SDK)


if TYPE_CHECKING:  # mypy alone looks at this: the types of the calls follow from the client

    async def results(blocking: PeekapingClient, on_trio: AsyncPeekapingClient) -> None:
        assert_type(blocking.monitors.list(), JsonObjects)
        assert_type(await on_trio.monitors.list(), JsonObjects)
        assert_type(blocking.overview(), JsonObject)
        assert_type(await on_trio.notification_channels.preview(template="x"), str)
        blocking.monitors.get(1)  # type: ignore[arg-type]
        await on_trio.incidents.list(solved=True)  # type: ignore[call-arg]


def test_a_call_shows_how_it_is_used() -> None:
    for client in (PeekapingClient, AsyncPeekapingClient):
        with_self = inspect.signature(client.push)
        assert list(with_self.parameters) == ["self", "push_id", "status", "message", "ping"]
        assert "`ping` in ms" in str(inspect.getdoc(client.push))
    assert list(inspect.signature(CALLS.push).parameters) == ["push_id", "status", "message", "ping"]


def test_listing_follows_the_pages() -> None:
    pages = [{"monitors": [{"id": f"monitor-{page}"}], "pagination": {"page": page, "pages": 3}} for page in (1, 2, 3)]
    requests, monitors = play(CALLS.monitors.list(type="http"), *pages)
    assert [request.params["page"] for request in requests] == [1, 2, 3]
    assert {request.params["type"] for request in requests} == {"http"}
    assert [monitor["id"] for monitor in monitors] == ["monitor-1", "monitor-2", "monitor-3"]


def test_an_empty_listing_asks_once() -> None:
    requests, monitors = play(CALLS.monitors.list(), {"monitors": [], "pagination": {"page": 1, "pages": 0}})
    assert len(requests) == 1
    assert monitors == []


def test_a_listing_with_a_limit_asks_for_no_more() -> None:
    page = {"deliveries": [{"id": n} for n in range(5)], "pagination": {"page": 1, "pages": 20}}
    (request,), found = play(CALLS.notification_channels.deliveries("channel-1", limit=5), page)
    assert request.params["limit"] == 5
    assert len(found) == 5


def test_a_limit_beyond_a_page_is_kept_too() -> None:
    page = {"entries": [{}] * 100, "pagination": {"page": 1, "pages": 20}}
    requests, found = play(CALLS.audit_log(limit=150), page, page)
    assert [request.params["limit"] for request in requests] == [100, 100]
    assert len(found) == 150


def test_ids_cannot_leave_their_path() -> None:
    (request,), _ = play(CALLS.monitors.get("../stats/overview?x"), {})
    assert request.path == "/monitors/..%2Fstats%2Foverview%3Fx"


def test_an_id_that_is_no_text_is_one_that_nothing_has() -> None:
    (request,), _ = play(CALLS.monitors.get("\ud800"), {})
    assert request.path == "/monitors/%3F"


def test_times_are_sent_as_iso_dates() -> None:
    (request,), _ = play(
        CALLS.monitors.heartbeats(
            "monitor-1", from_=datetime(2024, 1, 20, 10, 30, tzinfo=UTC), to=date(2024, 1, 21), limit=5
        ),
        {"heartbeats": []},
    )
    assert request.params == {"from": "2024-01-20T10:30:00+00:00", "to": "2024-01-21", "limit": 5}


def test_a_time_without_zone_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="time zone"):
        next(CALLS.monitors.heartbeats("monitor-1", from_=datetime(2024, 1, 20)))


UNSENDABLE: dict[str, Callable[[Any], Any]] = {
    "half a surrogate pair": lambda client: client.push("id", message="\ud800"),
    "half a surrogate pair in a query": lambda client: client.monitors.list(status="\ud800"),
    "no number": lambda client: client.push("id", ping=float("nan")),
    "no JSON": lambda client: client.monitors.create({"name": object()}),
}


@pytest.mark.parametrize("call", UNSENDABLE.values(), ids=UNSENDABLE)
async def test_what_cannot_be_sent_is_an_error_of_the_sdk(call: Callable[[Any], Any]) -> None:
    with PeekapingClient("http://127.0.0.1:1") as client, pytest.raises(ClientError, match="cannot be sent"):
        call(client)
    async with AsyncPeekapingClient("http://127.0.0.1:1") as client_on_trio:
        with pytest.raises(ClientError, match="cannot be sent"):
            await call(client_on_trio)


@pytest.mark.parametrize("key", ["peek_…", "peek_secret\n"])
def test_a_key_that_no_header_can_hold_is_an_error_of_the_sdk_that_does_not_repeat_it(key: str) -> None:
    with (
        PeekapingClient("http://127.0.0.1:1", key) as client,
        pytest.raises(ClientError, match="cannot be sent") as caught,
    ):
        client.me()
    assert type(caught.value) is ClientError
    assert "peek" not in str(caught.value)


def test_a_push_sends_only_what_was_given() -> None:
    (request,), _ = play(CALLS.push("secret", status="down", ping=0), {})
    assert request == Request("POST", "/push/secret", json={"status": "down", "ping": 0})
