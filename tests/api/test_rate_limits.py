"""The rate limits, their headers, and whom they count."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

from peekaping.api.settings import ApiSettings
from tests.api.support import Api, assert_refused, running


async def test_answers_carry_the_headers_errors_too(tmp_path: Path) -> None:
    async with running(tmp_path, ApiSettings()) as api:
        answer = await api.call("GET", "/monitors")
        assert answer.headers["X-RateLimit-Limit"] == "1000"
        assert answer.headers["X-RateLimit-Remaining"] == "999"
        assert 0 < int(answer.headers["X-RateLimit-Reset"]) - api.clock() / 1000 <= 3601
        missing = await api.call("GET", "/monitors/monitor-9")
        assert (missing.status, missing.headers["X-RateLimit-Remaining"]) == (404, "998")


async def test_too_many_requests_in_a_minute_are_a_429_until_it_is_over(tmp_path: Path) -> None:
    async with running(tmp_path, ApiSettings(rate_limit_per_minute=3)) as api:
        statuses = [(await api.call("GET", "/monitors")).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        answer = await api.call("GET", "/monitors")
        assert_refused(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert answer.headers["X-RateLimit-Remaining"] == "997"
        api.clock.ahead_ms = 60_000
        assert (await api.call("GET", "/monitors")).status == 200


async def test_a_user_has_one_count_from_everywhere_and_nobody_counts_by_address(tmp_path: Path) -> None:
    async with running(tmp_path, ApiSettings(rate_limit_per_minute=3)) as api:
        statuses = [(await api.call("GET", "/monitors", address=f"192.0.2.{n}")).status for n in range(4)]
        assert statuses == [200, 200, 200, 429]
        api.token = None
        for address in ("192.0.2.1", "192.0.2.2"):
            statuses = [(await api.call("GET", "/monitors", address=address)).status for _ in range(4)]
            assert statuses == [401, 401, 401, 429]


async def test_whoever_looks_at_public_pages_can_still_log_in(tmp_path: Path) -> None:
    async with running(tmp_path, ApiSettings(rate_limit_per_minute=3)) as api:
        api.token = None
        for prefix, path in (("/api/v1", "/status-pages/shop"), ("", "/status/shop")):
            api.clock.ahead_ms += 60_000
            answers = [await api.call("GET", path, prefix=prefix, address="192.0.2.9") for _ in range(4)]
            assert [answer.status for answer in answers] == [404, 404, 404, 429]
            assert (await api.login(address="192.0.2.9")).status == 200


async def test_zero_is_off(api: Api) -> None:
    answers = [await api.call("GET", "/monitors") for _ in range(120)]
    assert {answer.status for answer in answers} == {200}
    assert "X-RateLimit-Limit" not in answers[0].headers


async def test_a_forwarded_address_counts_only_when_a_trusted_proxy_says_it(tmp_path: Path) -> None:
    async def statuses(api: Api, peer: str, forwarded: list[str]) -> list[int]:
        return [
            (await api.call("GET", "/monitors", address=peer, headers={"X-Forwarded-For": text})).status
            for text in forwarded
        ]

    settings = ApiSettings(rate_limit_per_minute=2, trusted_proxies=(ip_network("10.0.0.0/8"),))
    async with running(tmp_path, settings) as api:
        api.token = None
        assert await statuses(api, "192.0.2.1", ["1.1.1.1", "1.1.1.2", "1.1.1.3"]) == [401, 401, 429]
        assert await statuses(api, "10.0.0.1", ["2.2.2.1", "2.2.2.2", "2.2.2.3"]) == [401, 401, 401]
        # What a client wrote itself stands before what the proxy wrote.
        made_up = ["9.9.9.1, 3.3.3.3, 10.0.0.2", "9.9.9.2, 3.3.3.3, 10.0.0.2", "9.9.9.3, 3.3.3.3, 10.0.0.2"]
        assert await statuses(api, "10.0.0.1", made_up) == [401, 401, 429]


async def test_without_trusted_proxies_a_forwarded_address_means_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, ApiSettings(rate_limit_per_minute=2)) as api:
        api.token = None
        statuses = [
            (await api.call("GET", "/monitors", headers={"X-Forwarded-For": f"1.1.1.{n}", "Remote-Addr": f"1.1.1.{n}"}))
            for n in range(2)
        ]
        assert [answer.status for answer in statuses] == [401, 429]  # the fixture's login was the first
