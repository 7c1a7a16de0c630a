"""The rules the two clients share: errors, staying logged in. No socket: a call is a generator."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import jwt
import pytest

from peekaping import calls
from peekaping.calls import Answer, ApiError, Request, Session


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def play(call: Generator[Request, Any, Any], *answers: Any) -> tuple[list[Request], Any]:
    """Answer a call's requests one by one; gives back the requests and the result."""
    requests = [next(call), *(call.send(answer) for answer in answers[:-1])]
    with pytest.raises(StopIteration) as finished:
        call.send(answers[-1])
    return requests, finished.value.value


def tokens(access: str, refresh: str = "refresh-1") -> Answer:
    return Answer(200, {"accessToken": access, "refreshToken": refresh, "user": {}}, None)


def refusal(status: int) -> Answer:
    return Answer(status, {"error": {"code": "UNAUTHORIZED", "message": "no"}}, None)


def result_of(call: Generator[Request, Any, Any]) -> Any:
    """The result of a call that needs no request."""
    with pytest.raises(StopIteration) as finished:
        next(call)
    return finished.value.value


def test_a_refusal_becomes_an_error_with_everything_in_it() -> None:
    body = {"error": {"code": "VALIDATION_ERROR", "message": "Invalid", "details": {"url": ["URL is required"]}}}
    with pytest.raises(ApiError) as caught:
        calls.read(Answer(422, body, None))
    error = caught.value
    assert (error.status, error.code, error.message) == (422, "VALIDATION_ERROR", "Invalid")
    assert error.details == {"url": ["URL is required"]}
    assert str(error) == "422 VALIDATION_ERROR: Invalid (url: URL is required)"


def test_too_many_requests_says_how_long_to_wait() -> None:
    with pytest.raises(ApiError) as caught:
        calls.read(Answer(429, {"error": {"code": "RATE_LIMITED", "message": "slow down"}}, "17"))
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize("json", [None, [], {"error": "Bad Gateway"}])
def test_an_answer_from_something_else_says_so(json: Any) -> None:
    with pytest.raises(ApiError, match=re.escape("check base_url")) as caught:
        calls.read(Answer(502, json, None))
    assert caught.value.status == 502


def test_success_from_something_else_is_an_error_too() -> None:
    with pytest.raises(ApiError, match=re.escape("check base_url")):
        calls.read(Answer(200, None, None))


@pytest.mark.parametrize("base", ["http://h:1", "http://h:1/", "http://h:1/api/v1", "http://h:1/api/v1/"])
def test_the_address_may_have_the_api_path_or_not(base: str) -> None:
    assert calls.api_url(base) == "http://h:1/api/v1"
    assert calls.websocket_url(base) == "ws://h:1/ws"


def test_live_events_of_an_https_server_are_encrypted_too() -> None:
    assert calls.websocket_url("https://peekaping.example") == "wss://peekaping.example/ws"


def test_an_api_key_is_sent_as_it_is() -> None:
    session = Session("key", None, None, clock=Clock())
    assert result_of(session.token()) == "key"
    assert not session.can_renew


def test_the_password_is_sent_once_and_the_token_kept() -> None:
    session = Session(None, "me@example.com", "secret", clock=Clock())
    (login,), token = play(session.token(), tokens("access-1"))
    assert login == Request("POST", "/auth/login", json={"email": "me@example.com", "password": "secret"})
    assert token == "access-1"
    assert result_of(session.token()) == "access-1"


def test_a_token_is_renewed_before_it_ends() -> None:
    clock = Clock()
    session = Session(None, "me@example.com", "secret", clock=clock)
    play(session.token(), tokens("access-1"))
    clock.now += 15 * 60 - calls.RENEWAL_MARGIN_S
    (refresh,), token = play(session.token(), tokens("access-2", "refresh-2"))
    assert refresh == Request("POST", "/auth/refresh", json={"refreshToken": "refresh-1"})
    assert token == "access-2"


def test_a_token_that_tells_its_lifetime_is_believed() -> None:
    clock = Clock()
    session = Session(None, "me@example.com", "secret", clock=clock)
    short = jwt.encode({"iat": 5000, "exp": 5010}, "k" * 32)
    play(session.token(), tokens(short))
    clock.now += 4
    assert result_of(session.token()) == short
    clock.now += 2
    requests, _ = play(session.token(), tokens("access-2"))
    assert requests[0].path == "/auth/refresh"


def test_a_rejected_token_is_renewed_at_once() -> None:
    session = Session(None, "me@example.com", "secret", clock=Clock())
    play(session.token(), tokens("access-1"))
    _, token = play(session.token(rejected="access-1"), tokens("access-2"))
    assert token == "access-2"
    assert result_of(session.token(rejected="access-1")) == "access-2", "somebody else has renewed it already"


def test_an_ended_session_is_opened_again_with_the_password() -> None:
    session = Session(None, "me@example.com", "secret", clock=Clock())
    play(session.token(), tokens("access-1"))
    requests, token = play(session.token(rejected="access-1"), refusal(401), tokens("access-2"))
    assert [request.path for request in requests] == ["/auth/refresh", "/auth/login"]
    assert token == "access-2"


def test_a_server_in_trouble_does_not_cost_the_session() -> None:
    session = Session(None, "me@example.com", "secret", clock=Clock())
    play(session.token(), tokens("access-1"))
    call = session.token(rejected="access-1")
    next(call)
    with pytest.raises(ApiError):
        call.send(refusal(503))
    (again,), _ = play(session.token(rejected="access-1"), tokens("access-2"))
    assert again.json == {"refreshToken": "refresh-1"}


def test_a_refresh_token_whose_answer_was_lost_is_not_used_twice() -> None:
    session = Session(None, "me@example.com", "secret", clock=Clock())
    play(session.token(), tokens("access-1"))
    call = session.token(rejected="access-1")
    next(call)
    call.close()  # the connection broke: the server may have used it up
    (login,), _ = play(session.token(rejected="access-1"), tokens("access-2"))
    assert login.path == "/auth/login"


@pytest.mark.parametrize(
    ("api_key", "email", "password"),
    [("key", "me@example.com", "x"), (None, "me@example.com", None), (None, None, "x")],
)
def test_half_a_login_is_refused(api_key: str | None, email: str | None, password: str | None) -> None:
    with pytest.raises(ValueError, match="email and password"):
        Session(api_key, email, password, clock=Clock())
