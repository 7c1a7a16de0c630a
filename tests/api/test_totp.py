"""One-time passwords: switching them on and off, and logging in with them."""

from __future__ import annotations

import pyotp

from peekaping.api.credentials import STEP_MS, step_of
from tests.api.support import EMAIL, PASSWORD, Answer, Api, assert_refused, bearer


def code(api: Api, seed: str, steps_later: int = 0) -> str:
    return pyotp.TOTP(seed).generate_otp(api.clock() // STEP_MS + steps_later)


async def log_in(api: Api, code: str | None, password: str = PASSWORD) -> Answer:
    return await api.call("POST", "/auth/login", {"email": EMAIL, "password": password, "code": code})


async def switch_on(api: Api) -> tuple[str, list[str]]:
    """The seed and the recovery codes."""
    prepared = await api.call("POST", "/auth/totp", {"password": PASSWORD})
    assert prepared.status == 200, prepared
    seed = prepared.json["secret"]
    assert pyotp.parse_uri(prepared.json["uri"]).secret == seed
    assert (await log_in(api, None)).status == 200  # not in force yet
    confirmed = await api.call("POST", "/auth/totp/confirm", {"code": code(api, seed)})
    assert confirmed.status == 200, confirmed
    return seed, confirmed.json["recoveryCodes"]


async def test_a_login_needs_a_code_and_each_code_works_once(api: Api) -> None:
    seed, _ = await switch_on(api)
    missing = await log_in(api, None)
    assert_refused(missing, 401, "TOTP_REQUIRED")
    assert_refused(await log_in(api, "000000" if code(api, seed) != "000000" else "000001"), 401, "UNAUTHORIZED")
    assert_refused(await log_in(api, code(api, seed)), 401, "UNAUTHORIZED")  # the one that was confirmed with
    following = code(api, seed, 1)
    assert (await log_in(api, f"{following[:3]} {following[3:]}")).status == 200
    assert_refused(await log_in(api, following), 401, "UNAUTHORIZED")
    assert (await api.call("GET", "/auth/me")).json["totp"] is True


async def test_a_right_code_does_not_help_a_wrong_password(api: Api) -> None:
    seed, _ = await switch_on(api)
    following = code(api, seed, 1)
    assert_refused(await log_in(api, following, "wrong"), 401, "UNAUTHORIZED")
    assert (await log_in(api, following)).status == 200  # nor was it used up


async def test_a_recovery_code_works_once(api: Api) -> None:
    _, codes = await switch_on(api)
    assert len(set(codes)) == 10
    assert (await log_in(api, codes[0].upper())).status == 200
    assert_refused(await log_in(api, codes[0]), 401, "UNAUTHORIZED")
    assert (await log_in(api, codes[1])).status == 200


async def test_a_wrong_confirmation_switches_nothing_on(api: Api) -> None:
    assert_refused(await api.call("POST", "/auth/totp/confirm", {"code": "123456"}), 409, "CONFLICT")
    assert_refused(await api.call("POST", "/auth/totp", {"password": "wrong"}), 422, "VALIDATION_ERROR", {"password"})
    seed = (await api.call("POST", "/auth/totp", {"password": PASSWORD})).json["secret"]
    late = code(api, seed, 5)
    assert_refused(await api.call("POST", "/auth/totp/confirm", {"code": late}), 422, "VALIDATION_ERROR", {"code"})
    assert (await log_in(api, None)).status == 200


async def test_switching_off_needs_password_and_code(api: Api) -> None:
    seed, codes = await switch_on(api)
    assert_refused(await api.call("POST", "/auth/totp", {"password": PASSWORD}), 409, "CONFLICT")
    wrong = {"password": PASSWORD, "code": "abcdef"}
    assert_refused(await api.call("POST", "/auth/totp/disable", wrong), 422, "VALIDATION_ERROR", {"password"})
    assert_refused(await log_in(api, None), 401, "TOTP_REQUIRED")
    right = {"password": PASSWORD, "code": code(api, seed, 1)}
    assert (await api.call("POST", "/auth/totp/disable", right)).status == 204
    assert (await log_in(api, None)).status == 200
    assert_refused(await api.call("POST", "/auth/totp/disable", right), 409, "CONFLICT")
    await switch_on(api)
    assert_refused(await log_in(api, codes[1]), 401, "UNAUTHORIZED")  # of the seed before


async def test_guessing_codes_is_slowed_down_and_asking_for_one_is_not_guessing(api: Api) -> None:
    await switch_on(api)
    for _ in range(30):
        assert (await log_in(api, None)).status == 401
    statuses = [(await log_in(api, f"guess {n}")).status for n in range(11)]
    assert statuses == [401] * 10 + [429]


async def test_an_administrator_helps_who_lost_everything(api: Api) -> None:
    operator, api.token = api.token, await api.user("ada@example.com")
    seed = (await api.call("POST", "/auth/totp", {"password": PASSWORD})).json["secret"]
    await api.call("POST", "/auth/totp/confirm", {"code": code(api, seed)})
    assert_refused(await api.login(email="ada@example.com"), 401, "TOTP_REQUIRED")
    assert (await api.call("DELETE", "/users/user-2/totp", headers=bearer(operator))).status == 204
    assert (await api.login(email="ada@example.com")).status == 200


def test_a_code_is_good_for_its_step_and_those_beside_it() -> None:
    seed, at = pyotp.random_base32(), 1_800_000_000_000
    step = at // STEP_MS
    totp = pyotp.TOTP(seed)
    found = [step_of(seed, totp.generate_otp(step + away), at) for away in range(-2, 3)]
    assert found == [None, step - 1, step, step + 1, None]
    assert step_of(seed, "", at) is None
    assert step_of(seed, "ü", at) is None
