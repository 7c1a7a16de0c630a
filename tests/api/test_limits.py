"""The rate-limit rules, as values: no clock, no server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peekaping.api.limits import (
    FAILURES_PER_ACCOUNT,
    FAILURES_PER_ADDRESS,
    FAILURES_WHERE_KNOWN,
    Counter,
    LoginLimits,
    RateLimits,
)
from peekaping.engine.clock import HOUR_MS, MINUTE_MS


def test_a_key_gets_its_limit_and_no_more_until_the_window_ends() -> None:
    counter = Counter(3, MINUTE_MS)
    assert [counter.take("a", at).allowed for at in (0, 10, 20, 30)] == [True, True, True, False]
    assert counter.take("b", 30).allowed
    assert counter.look("a", 59_999).reset_ms == MINUTE_MS
    assert counter.take("a", MINUTE_MS).remaining == 2


def test_a_clock_set_back_does_not_lock_anybody_out() -> None:
    counter = Counter(1, HOUR_MS)
    counter.take("a", 10 * HOUR_MS)
    assert counter.take("a", 2 * HOUR_MS).allowed


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 5 * MINUTE_MS)), max_size=200))
def test_no_window_of_any_key_holds_more_than_the_limit_and_the_table_stays_bounded(
    requests: list[tuple[str, int]],
) -> None:
    counter = Counter(2, MINUTE_MS, keys=4)
    roomy = Counter(2, MINUTE_MS, keys=100)
    allowed: dict[tuple[str, int], int] = {}
    for key, at in sorted(requests, key=lambda request: request[1]):
        counter.take(key, at)
        assert len(counter) <= 4
        standing = roomy.take(key, at)
        if standing.allowed:
            window = (key, standing.reset_ms)
            allowed[window] = allowed.get(window, 0) + 1
    assert all(count <= 2 for count in allowed.values())


def test_a_full_table_forgets_the_oldest_window() -> None:
    counter = Counter(1, HOUR_MS, keys=2)
    for at, key in enumerate("abc"):
        counter.take(key, at)
    assert counter.look("a", 10).allowed
    assert not counter.look("b", 10).allowed
    assert not counter.look("c", 10).allowed


def test_a_window_that_began_anew_is_not_the_oldest() -> None:
    counter = Counter(1, 100, keys=2)
    for key, at in (("a", 0), ("b", 50), ("a", 120), ("c", 130)):
        counter.take(key, at)
    assert not counter.look("a", 140).allowed
    assert counter.look("b", 140).allowed


def test_the_minute_refuses_within_the_hour_and_a_refusal_costs_nothing() -> None:
    limits = RateLimits(per_hour=10, per_minute=2)
    for _ in range(2):
        ruling = limits.take("a", 0)
        assert ruling is not None
        assert ruling.refused_until_ms is None
    for _ in range(5):
        ruling = limits.take("a", 1000)
        assert ruling is not None
        assert ruling.refused_until_ms == MINUTE_MS
        assert ruling.shown.limit == 10
        assert ruling.shown.remaining == 8


def test_zero_switches_a_limit_off() -> None:
    assert RateLimits(0, 0).take("a", 0) is None
    only_minute = RateLimits(0, 1).take("a", 0)
    assert only_minute is not None
    assert only_minute.shown.limit == 1


def test_guessing_at_one_account_is_refused_after_a_few_tries_from_one_address() -> None:
    logins = LoginLimits([])
    tries = [logins.attempt("me", "bad", 0).refused_until_ms for _ in range(FAILURES_PER_ADDRESS + 1)]
    assert tries == [None] * FAILURES_PER_ADDRESS + [15 * MINUTE_MS]


def test_guessing_from_many_addresses_is_refused_for_the_account() -> None:
    logins = LoginLimits([])
    tries = [logins.attempt("me", f"bad-{n}", 0).refused_until_ms for n in range(FAILURES_PER_ACCOUNT + 1)]
    assert tries == [None] * FAILURES_PER_ACCOUNT + [HOUR_MS]


def test_the_owner_gets_in_from_a_known_address_whatever_others_do() -> None:
    logins = LoginLimits([])
    logins.succeeded(logins.attempt("me", "home", 0))
    for n in range(2 * FAILURES_PER_ACCOUNT):
        logins.attempt("me", f"bad-{n}", 1)
        logins.attempt(f"other-{n}", "home", 1)
    assert logins.attempt("me", "elsewhere", 2).refused_until_ms is not None
    assert logins.attempt("me", "home", 2).refused_until_ms is None


def test_guessing_from_a_known_address_is_refused_too() -> None:
    logins = LoginLimits([])
    logins.succeeded(logins.attempt("me", "home", 0))
    tries = [logins.attempt("me", "home", 0).refused_until_ms for _ in range(FAILURES_WHERE_KNOWN + 1)]
    assert tries == [None] * FAILURES_WHERE_KNOWN + [5 * MINUTE_MS]


def test_logging_in_costs_nothing_and_pays_for_no_guess_at_another_account() -> None:
    logins = LoginLimits([])
    for _ in range(100):
        logins.succeeded(logins.attempt("mallory", "bad", 0))
    for _ in range(FAILURES_PER_ADDRESS):
        assert logins.attempt("me", "bad", 0).refused_until_ms is None
        logins.succeeded(logins.attempt("mallory", "bad", 0))
    assert logins.attempt("me", "bad", 0).refused_until_ms is not None


def test_an_address_that_logged_in_before_the_restart_is_known() -> None:
    limits = LoginLimits([("me@example.com", "192.0.2.1")])
    assert limits.attempt("me@example.com", "192.0.2.1", 0).known
    assert not limits.attempt("me@example.com", "192.0.2.2", 0).known
