"""POST /auth/login."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from peekaping.api import passwords
from peekaping.api.auth import DEFAULT_EMAIL, ensure_first_user
from peekaping.api.errors import too_many
from peekaping.api.limits import FAILURES_PER_ADDRESS
from peekaping.api.passwords import MOST_WAITING
from peekaping.api.settings import ApiSettings
from peekaping.engine.clock import HOUR_MS
from peekaping.engine.ports import StoreFailed
from peekaping.store.accounts import Accounts
from tests.api.support import EMAIL, HERE, PASSWORD, Api, assert_refused, database_in, running


async def test_it_works(api: Api) -> None:
    api.token = None
    answer = await api.login()
    assert answer.status == 200
    assert set(answer.json) == {"accessToken", "refreshToken", "user"}
    assert answer.json["user"] == {"id": "user-1", "email": EMAIL, "name": "Operator"}
    api.token = answer.json["accessToken"]
    assert (await api.call("GET", "/monitors")).status == 200


async def test_the_email_is_read_without_regard_to_case_and_spaces(api: Api) -> None:
    assert (await api.login(email=f" {EMAIL.upper()} ")).status == 200


async def test_a_wrong_password_and_an_unknown_email_look_the_same(api: Api) -> None:
    wrong = await api.login("wrong")
    unknown = await api.login(email="nobody@example.com")
    assert_refused(wrong, 401, "UNAUTHORIZED")
    assert wrong.headers["WWW-Authenticate"].startswith("Bearer")
    assert unknown[:2] == wrong[:2]


async def test_an_unknown_email_costs_the_same_hash(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def record(password: str, password_hash: str) -> bool:
        checked.append(password_hash)
        return True  # whatever the dummy says, nobody gets in

    monkeypatch.setattr(passwords, "_matches", record)
    assert (await api.login(email="nobody@example.com")).status == 401
    (dummy,) = checked
    user = await api.accounts.user_by_email(EMAIL)
    assert user is not None
    assert dummy.rpartition("$")[0].rpartition("$")[0] == user.password_hash.rpartition("$")[0].rpartition("$")[0]


async def test_all_wrong_fields_are_named_at_once(api: Api) -> None:
    answer = await api.call("POST", "/auth/login", {"email": 5, "pasword": "x"})
    assert_refused(answer, 422, "VALIDATION_ERROR", {"email", "password", "pasword"})


async def test_guessing_is_stopped_and_says_for_how_long(api: Api) -> None:
    for _ in range(FAILURES_PER_ADDRESS):
        assert (await api.login("wrong", address="198.51.100.9")).status == 401
    answer = await api.login(address="198.51.100.9")
    assert_refused(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60


async def test_guessing_all_over_the_place_does_not_lock_the_owner_out(api: Api) -> None:
    statuses = {(await api.login("wrong", address=f"198.51.100.{n}")).status for n in range(25)}
    assert statuses == {401, 429}
    assert (await api.login(address="192.0.2.1")).status == 429
    assert (await api.login(address=HERE)).status == 200  # the fixture logged in from here
    api.clock.ahead_ms = HOUR_MS
    assert (await api.login(address="192.0.2.1")).status == 200


async def test_an_ipv6_neighbourhood_counts_as_one_address(api: Api) -> None:
    statuses = [
        (await api.login("wrong", email="nobody@example.com", address=f"2001:db8::{n + 1}")).status
        for n in range(FAILURES_PER_ADDRESS + 1)
    ]
    assert statuses == [401] * FAILURES_PER_ADDRESS + [429]


async def test_a_flood_of_logins_is_sent_away_and_the_owner_does_not_queue_behind_it(api: Api) -> None:
    answers: list[int] = []

    async def guess(n: int) -> None:
        answer = await api.login("wrong", email=f"user-{n}@example.com", address=f"198.51.100.{n}")
        answers.append(answer.status)

    async with trio.open_nursery() as nursery:
        for n in range(MOST_WAITING + 10):
            nursery.start_soon(guess, n)
        await trio.testing.wait_all_tasks_blocked(0.005)
        assert (await api.login()).status == 200
        assert answers.count(401) < MOST_WAITING
    assert set(answers) == {401, 429}


@pytest.mark.parametrize(
    ("error", "status"), [(StoreFailed("disk full"), 503), (too_many("Too many logins at once", 2000), 429)]
)
async def test_a_login_that_the_server_could_not_look_at_is_no_failed_one(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async def cannot(*args: object, **kwargs: object) -> bool:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(passwords.Passwords, "check", cannot)
        for _ in range(FAILURES_PER_ADDRESS + 1):
            assert (await api.login(address="198.51.100.9")).status == status
    assert (await api.login(address="198.51.100.9")).status == 200


async def test_an_empty_database_gets_one_first_user(tmp_path: Path) -> None:
    async with database_in(tmp_path) as database:
        accounts = Accounts(database)
        password = await ensure_first_user(accounts, ApiSettings())
        assert password is not None
        assert len(password) >= 16
        first = await accounts.user_by_email(DEFAULT_EMAIL)
        assert first is not None
        assert password not in first.password_hash
        assert await ensure_first_user(accounts, ApiSettings(admin_email="second@example.com")) is None
        assert await accounts.user_by_email("second@example.com") is None


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (ApiSettings(admin_email=EMAIL, admin_password=PASSWORD), None),
        (ApiSettings(admin_email=EMAIL.upper()), None),
        (ApiSettings(), None),
        (ApiSettings(admin_email="ada@example.com", admin_password=PASSWORD), "ada@example.com"),
        (ApiSettings(admin_password=PASSWORD), DEFAULT_EMAIL),
    ],
)
async def test_a_later_start_warns_only_of_a_user_who_is_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: ApiSettings, missing: str | None
) -> None:
    async with database_in(tmp_path) as database:
        accounts = Accounts(database)
        await ensure_first_user(accounts, ApiSettings(admin_email=EMAIL, admin_password=PASSWORD))
        assert caplog.text == ""
        await ensure_first_user(accounts, settings)
    assert bool(caplog.text) == (missing is not None)
    assert missing is None or f"`peekaping user add {missing}`" in caplog.text


async def test_the_first_user_takes_the_given_email_and_password(tmp_path: Path) -> None:
    async with database_in(tmp_path) as database:
        accounts = Accounts(database)
        assert await ensure_first_user(accounts, ApiSettings(admin_email=EMAIL, admin_password=PASSWORD)) is None
    async with running(tmp_path) as api:
        assert (await api.login()).status == 200
