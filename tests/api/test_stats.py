"""GET /stats/overview and /monitors/{id}/stats, GET /health."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from peekaping.engine import kept
from peekaping.engine.accounting import Bucket
from peekaping.engine.reading import EngineStatistics
from peekaping.engine.records import Outcome, Status, iso
from peekaping.engine.supervisor import FOR_EVER
from tests.api.support import Api, assert_refused


async def counted(api: Api, path: str, checks: int) -> dict[str, Any]:
    """The statistics there once they hold so many checks: they are counted in batches, a tenth of a second apart."""
    with trio.fail_after(5):
        while True:
            answer = await api.call("GET", path)
            assert answer.status == 200
            statistics: dict[str, Any] = answer.json
            if statistics["totalChecks"] == checks:
                return statistics
            await trio.sleep(0.01)


async def test_the_overview_works(api: Api) -> None:
    for name, status, ping in (("a", "up", 100), ("b", "up", 200), ("c", "down", None)):
        monitor = await api.push_monitor(name)
        await api.call("POST", f"/push/{monitor['pushId']}", {"status": status, "ping": ping})
    await api.push_monitor("silent")
    overview = await counted(api, "/stats/overview", 3)
    assert (overview["totalMonitors"], overview["monitorsUp"], overview["monitorsDown"]) == (4, 2, 1)
    assert overview["monitorsPending"] == 1
    assert overview["avgResponseTime"] == 150
    assert set(overview["uptime"]) == {"24h", "7d", "30d"}


async def test_the_overview_says_why_monitors_are_unknown(api: Api) -> None:
    for name in ("a", "b"):
        # Seldom enough that the slot after the first check does not come meanwhile, which would be counted too.
        fields = {"type": "tcp", "name": name, "host": "169.254.169.254", "port": 80, "interval": 86_400_000}
        assert (await api.call("POST", "/monitors", fields)).status == 201
    overview = await counted(api, "/stats/overview", 2)
    assert (overview["monitorsUnknown"], overview["unknownReasons"]) == (2, {"egress_denied": 2})
    assert overview["uptime"]["24h"] is None, "nothing is known of them"


async def test_the_overview_of_nothing_knows_nothing(api: Api) -> None:
    overview = (await api.call("GET", "/stats/overview")).json
    assert (overview["totalMonitors"], overview["totalChecks"], overview["avgResponseTime"]) == (0, 0, None)
    assert overview["uptime"] == {"24h": None, "7d": None, "30d": None}
    assert overview["unknownReasons"] == {}


@pytest.mark.parametrize("period", ["24h", "7d", "30d", "90d"])
async def test_a_monitors_statistics_work(api: Api, period: str) -> None:
    monitor = await api.push_monitor()
    for ping in (10, 20, 60):
        await api.call("POST", f"/push/{monitor['pushId']}", {"ping": ping})
    stats = await counted(api, f"/monitors/{monitor['id']}/stats?period={period}", 3)
    assert (stats["period"], stats["failedChecks"]) == (period, 0)
    assert (stats["avgResponseTime"], stats["minResponseTime"], stats["maxResponseTime"]) == (30, 10, 60)
    assert stats["p50ResponseTime"] == pytest.approx(20, abs=1)
    assert stats["uptime"] == 100
    assert set(stats["time"]) == {"up", "down", "unknown", "paused"}


@pytest.mark.parametrize("pings", [(123,), (40, 41, 42), (1, 1000)])
async def test_no_percentile_lies_beyond_the_extremes(api: Api, pings: tuple[int, ...]) -> None:
    monitor = await api.push_monitor()
    for ping in pings:
        await api.call("POST", f"/push/{monitor['pushId']}", {"ping": ping})
    stats = await counted(api, f"/monitors/{monitor['id']}/stats", len(pings))
    ordered = [stats[f"{name}ResponseTime"] for name in ("min", "p50", "p95", "p99", "max")]
    assert ordered == sorted(ordered)
    assert (ordered[0], ordered[-1]) == (min(pings), max(pings))


async def test_the_overview_refuses_a_filter_that_it_does_not_have(api: Api) -> None:
    answer = await api.call("GET", "/stats/overview?period=7d")
    assert_refused(answer, 422, "VALIDATION_ERROR", {"period"})


async def test_the_period_is_a_day_unless_said_otherwise(api: Api) -> None:
    path = f"/monitors/{(await api.push_monitor())['id']}/stats"
    assert (await api.call("GET", path)).json["period"] == "24h"
    answer = await api.call("GET", f"{path}?period=1y")
    assert_refused(answer, 422, "VALIDATION_ERROR", {"period"})
    assert answer.json["error"]["details"]["period"] == ["Period must be one of: 24h, 7d, 30d, 90d"]


def test_uptime_is_never_rounded_up_to_a_hundred() -> None:
    assert Bucket(monitor=1, start=0, up=90 * 86_400_000, down=1).uptime == 99.999
    assert Bucket(monitor=1, start=0, up=86_400_000).uptime == 100
    assert Bucket(monitor=1, start=0, up=1, down=1, paused=7).uptime == 50
    assert Bucket(monitor=1, start=0).uptime is None


def test_times_are_utc_with_milliseconds() -> None:
    assert iso(1_705_746_600_007) == "2024-01-20T10:30:00.007Z"


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
async def test_health_is_open_and_says_ok(api: Api, path: str) -> None:
    api.token = None
    answer = await api.call("GET", path, prefix="")
    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert answer.json["backlog"] == 0
    assert "X-RateLimit-Limit" not in answer.headers


async def test_health_counts_actors_that_crashed(api: Api) -> None:
    lives, came_back = 0, trio.Event()

    async def actor() -> None:
        nonlocal lives
        lives += 1
        if lives == 1:
            raise RuntimeError("a bug")
        came_back.set()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(api.engine._supervisor.keep, "reminder", actor, FOR_EVER)
        await came_back.wait()
        answer = await api.call("GET", "/health", prefix="")
        nursery.cancel_scope.cancel()
    assert (answer.json["status"], answer.json["restarts"]) == ("ok", 1)


async def test_health_says_when_nothing_can_be_stored(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = msgspec.structs.replace(api.engine.statistics(), store_failing="disk full")
    monkeypatch.setattr(api.engine, "statistics", lambda: numbers)
    answer = await api.call("GET", "/health", prefix="")
    assert (answer.status, answer.json["status"]) == (503, "degraded")
    assert answer.json["reasons"] == ["Heartbeats cannot be stored: disk full"]


@pytest.fixture
def kept_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever may be kept for a moment is kept for longer than the test takes."""
    monkeypatch.setattr(kept, "TIMES_AS_LONG", 1e9)
    monkeypatch.setattr(kept, "LONGEST_S", 1000)


@pytest.mark.usefixtures("kept_long")
async def test_the_overview_knows_at_once_what_goes_down_comes_and_goes(api: Api) -> None:
    async def counts() -> tuple[int, int, int]:
        overview = (await api.call("GET", "/stats/overview")).json
        return overview["totalMonitors"], overview["monitorsUp"], overview["monitorsDown"]

    shop, mail = await api.push_monitor("Shop"), await api.push_monitor("Mail")
    assert await counts() == (2, 0, 0)
    for status, expected in (("up", (2, 1, 0)), ("down", (2, 0, 1)), ("up", (2, 1, 0))):
        await api.call("POST", f"/push/{shop['pushId']}", {"status": status})
        assert await counts() == expected
    await api.call("DELETE", f"/monitors/{shop['id']}")
    assert await counts() == (1, 0, 0)
    await api.call("POST", f"/push/{mail['pushId']}", {"status": "up"})
    assert await counts() == (1, 1, 0)
    await api.push_monitor("Market")
    await api.call("DELETE", f"/monitors/{mail['id']}")
    assert await counts() == (1, 0, 0)


@pytest.mark.usefixtures("kept_long")
async def test_a_monitors_statistics_know_at_once_of_an_outage(api: Api) -> None:
    monitor = await api.push_monitor()
    found = []
    for status in ("up", "down", "up", "down"):
        await api.call("POST", f"/push/{monitor['pushId']}", {"status": status})
        found.append((await api.call("GET", f"/monitors/{monitor['id']}/stats?period=7d")).json["outageCount"])
    assert found == [0, 1, 0, 1]  # kept since the same was true of it
    for period in ("24h", "7d", "30d", "90d"):
        assert (await api.call("GET", f"/monitors/{monitor['id']}/stats?period={period}")).json["period"] == period


@pytest.mark.usefixtures("kept_long")
async def test_however_often_they_are_asked_for_they_are_made_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = await api.push_monitor()
    asked: list[str] = []

    def note(name: str) -> None:
        function = getattr(api.engine.store, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            asked.append(name)
            return function(*args, **kwargs)

        monkeypatch.setattr(api.engine.store, name, noted)

    for name in ("totals", "buckets", "outages"):
        note(name)
    for _ in range(20):
        await api.call("GET", "/stats/overview")
        await api.call("GET", f"/monitors/{monitor['id']}/stats?period=90d")
    assert sorted(asked) == ["buckets", "buckets", "outages", "totals", "totals", "totals", "totals"]


@pytest.mark.usefixtures("kept_long")
async def test_health_is_counted_once_however_many_ask(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, counted = api.engine.statistics(), 0

    def count() -> EngineStatistics:
        nonlocal counted
        counted += 1
        return numbers

    monkeypatch.setattr(api.engine, "statistics", count)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(partial(api.call, "GET", "/health", prefix=""))
    assert counted == 1


async def test_health_names_why_monitors_are_unknown(api: Api) -> None:
    reasons = {"starved": 2, "fault": 1}
    for reason, count in reasons.items():
        for _ in range(count):
            monitor = await api.push_monitor()
            api.engine._director.runtime(monitor["id"]).conclude(Outcome(Status.UNKNOWN, "Too busy", reason))
    assert (await api.call("GET", "/health", prefix="")).json["unknown"] == reasons
