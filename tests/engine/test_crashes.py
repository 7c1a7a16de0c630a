"""Any actor may crash: it comes back, nothing acknowledged is lost, and its neighbours notice nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.accounting import Bucket
from peekaping.engine.actor import Runtime
from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.errors import Escalated
from peekaping.engine.hub import Subscription
from peekaping.engine.memory import MemoryStore
from peekaping.engine.ports import StoreFailed, Tail
from peekaping.engine.probes import parse_monitor
from peekaping.engine.records import Heartbeat, Outcome, State, Status
from peekaping.engine.timekeeper import Timekeeper

from .scripted import OK, ScriptedNetwork, collect, engine_on, http


class Faulty(MemoryStore):
    """Raises each of `faults` once, at the method it is for."""

    def __init__(self, **faults: list[Exception]) -> None:
        super().__init__()
        self.faults = faults

    def _fail(self, method: str) -> None:
        if self.faults.get(method):
            raise self.faults[method].pop(0)

    async def append(self, heartbeats: Sequence[Heartbeat], deliveries: Sequence[NewDelivery] = ()) -> None:
        self._fail("append")
        await super().append(heartbeats, deliveries)

    async def roll_up(self, buckets: Sequence[Bucket]) -> None:
        self._fail("roll_up")
        await super().roll_up(buckets)

    async def prune(self, now_ms: int) -> bool:
        self._fail("prune")
        return await super().prune(now_ms)


@pytest.mark.parametrize("method", ["append", "roll_up", "prune"])
async def test_a_crash_at_the_store_loses_nothing(autojump_clock: MockClock, method: str) -> None:
    store = Faulty(**{method: [ZeroDivisionError("a bug"), StoreFailed("disk full"), KeyError("another")]})
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network, store) as engine:
        id = (await engine.add(http(interval=1000, timeout=1000))).entry.id
        await trio.sleep(1200)
        checks = len(network.times("site"))
        assert checks == pytest.approx(1200, abs=3), "probing went on"
        assert len(await engine.heartbeats(id, limit=5000)) == pytest.approx(checks, abs=1)
        assert (await engine.totals_of(id, 3_600_000)).checks == pytest.approx(checks, abs=2)
        statistics = engine.statistics()
        assert statistics.restarts == 2
        assert [crash.error for crash in statistics.crashes] == ["ZeroDivisionError: a bug", "KeyError: 'another'"]
        assert statistics.dropped == statistics.statistics_dropped == 0


async def test_the_hub_comes_back_and_its_subscribers_stay(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [RuntimeError("a bug")]
    deliver = Subscription.deliver

    def faulty(self: Subscription, batch: Sequence[Heartbeat], now: float) -> None:
        if faults:
            raise faults.pop()
        deliver(self, batch, now)

    monkeypatch.setattr(Subscription, "deliver", faulty)
    async with engine_on(ScriptedNetwork(site=lambda: [OK])) as engine:
        await engine.add(http(interval=1000, timeout=1000))
        assert len(await collect(engine, 10)) == 10
        assert [crash.actor for crash in engine.statistics().crashes] == ["hub"]


async def test_a_stored_monitor_that_no_check_can_be_made_of_is_unknown(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    monitor = parse_monitor(http("old", jsonQuery="$.status", expectedValue="ok"), min_interval_ms=1000)
    before = msgspec.structs.replace(monitor, json_query="$..[")  # as an earlier version took it
    entry = await store.add(before, now_ms=0, push_id=None)
    async with engine_on(ScriptedNetwork(old=lambda: [OK]), store) as engine:
        await trio.sleep(200)
        assert engine.get(entry.id).state == State(Status.UNKNOWN)
        statistics = engine.statistics()
        assert statistics.faults >= 3
        assert not statistics.crashes


async def test_a_crashed_monitor_comes_back_in_its_slot_and_the_others_go_on(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [RuntimeError("a bug")] * 3
    conclude = Runtime.conclude

    def faulty(self: Runtime, outcome: Outcome, *, is_early: bool) -> object:
        if self.entry.monitor.name == "broken" and faults:
            raise faults.pop()
        return conclude(self, outcome, is_early=is_early)

    monkeypatch.setattr(Runtime, "conclude", faulty)
    network = ScriptedNetwork(broken=lambda: [OK], fine=lambda: [OK])
    async with engine_on(network) as engine:
        broken = (await engine.add(http("broken", interval=60_000))).entry
        await engine.add(http("fine", interval=60_000))
        await trio.sleep(600)
        assert engine.get(broken.id).state.status is Status.UP
        assert len(network.times("fine")) == pytest.approx(11, abs=1)
        assert len(network.times("broken")) == pytest.approx(11, abs=1)
        assert {crash.actor for crash in engine.statistics().crashes} == {broken.id}


async def test_the_timekeeper_comes_back_with_all_its_sleepers(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [RuntimeError("a bug")]
    run = Timekeeper.run

    async def faulty(self: Timekeeper) -> None:
        if faults:
            await trio.sleep(100)
            raise faults.pop()
        await run(self)

    monkeypatch.setattr(Timekeeper, "run", faulty)
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        for _ in range(10):
            await engine.add(http())
        await trio.sleep(50)
        assert network.times("site") == []
        await trio.sleep(60)
        assert all(snapshot.state.status is Status.UP for snapshot in engine.monitors())


async def test_an_engine_that_cannot_work_any_more_says_so(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crashing(self: Timekeeper) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("again and again")

    monkeypatch.setattr(Timekeeper, "run", crashing)
    with pytest.RaisesGroup(pytest.RaisesExc(Escalated, match="timekeeper crashed"), flatten_subgroups=True):
        async with engine_on(ScriptedNetwork()):
            await trio.sleep_forever()


async def test_statistics_that_cannot_be_read_at_the_start_are_read_later(autojump_clock: MockClock) -> None:
    class Unreadable(MemoryStore):
        readable_from = float("inf")

        async def tails(self, numbers: Sequence[int]) -> list[Tail]:
            if trio.current_time() < self.readable_from:
                raise StoreFailed("disk gone")
            return await super().tails(numbers)

    store = Unreadable()
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network, store) as engine:
        id = (await engine.add(http(interval=1000, timeout=1000))).entry.id
        await trio.sleep(30)
    store.readable_from = trio.current_time() + 120
    async with engine_on(network, store) as engine:
        await trio.sleep(60)
        assert engine.statistics().store_failing == "disk gone"
        assert engine.statistics().restarts == 0
        await trio.sleep(70)
        assert engine.statistics().store_failing is None
        assert (await engine.totals_of(id, 3_600_000)).checks == pytest.approx(160, abs=3)
