"""Any actor may crash: it comes back, nothing acknowledged is lost, and its neighbours notice nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.accounting import Bucket
from peekaping.engine.actor import Runtime
from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.alerts.ports import Due
from peekaping.engine.alerts.reminder import Reminder
from peekaping.engine.director import Director
from peekaping.engine.errors import Escalated
from peekaping.engine.hub import Subscription
from peekaping.engine.memory import MemoryStore
from peekaping.engine.ports import StoreFailed, Tail
from peekaping.engine.probes import parse_monitor
from peekaping.engine.records import Entry, Heartbeat, Outcome, State, Status
from peekaping.engine.timekeeper import Timekeeper

from .scripted import EPOCH_MS, FAILING, OK, ScriptedNetwork, ScriptedStream, collect, engine_on, http

HOOK = {"type": "webhook", "name": "hook", "config": {"url": "http://hook.example/"}}


class Unsent(MemoryStore):
    """Has nothing of its outbox sent."""

    async def due(self, channel: int, now_ms: int, *, one_each: bool, limit: int) -> Due:
        await trio.lowlevel.checkpoint()
        return Due([], None)


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


class CrashingWhenCancelled(ScriptedNetwork):
    """One on which a part of each check of `broken` hangs, and crashes when it is cancelled."""

    async def connect(self, host: str, port: int, **options: Any) -> ScriptedStream:
        async def part() -> None:
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                raise ValueError("a bug") from None

        if host == "broken":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(part)
                await trio.sleep_forever()
        return await super().connect(host, port, **options)


async def test_a_probe_that_crashes_as_it_is_stopped_takes_nobody_along(autojump_clock: MockClock) -> None:
    network = CrashingWhenCancelled(fine=lambda: [OK])
    async with engine_on(network) as engine:
        await engine.add(http("fine", interval=60_000))
        paused, moved, deleted = [(await engine.add(http("broken"))).entry.id for _ in range(3)]
        await trio.sleep(1)
        await engine.pause(paused)
        await engine.update(moved, {"url": "http://fine/"})
        await engine.delete(deleted)
        assert [crash.actor for crash in engine.statistics().crashes] == [paused, moved, deleted]
        await engine.resume(paused)
        await trio.sleep(600)
        assert engine.get(moved).state.status is Status.UP
        assert engine.get(paused).state.status is Status.UNKNOWN, "its timeouts are faults of ours as well"
        assert len(network.times("fine")) == pytest.approx(22, abs=2)
        await engine.add(http("broken"))  # and for this one the engine's stop is the moment
        await trio.sleep(1)


class Crashes:
    """Lets a method run for ten seconds, and crashes it then, once."""

    def __init__(self, run: Callable[[Any], Awaitable[None]]) -> None:
        self.lives = 0
        self._run = run

    async def __call__(self, actor: Any) -> None:
        self.lives += 1
        if self.lives == 1:
            with trio.move_on_after(10):
                await self._run(actor)
            raise RuntimeError("a bug")
        await self._run(actor)


async def test_the_director_comes_back_and_no_monitor_has_two_actors(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = Crashes(Director.run)
    monkeypatch.setattr(Director, "run", lambda self: crashing(self))
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        id = (await engine.add(http(interval=1000))).entry.id
        await trio.sleep_until(10.05)
        await engine.update(id, {"name": "changed while nobody directs"})
        assert trio.current_time() > 10.05
        assert engine.get(id).entry.monitor.name == "changed while nobody directs"
        await trio.sleep(10)
        assert len(network.times("site")) == pytest.approx(21, abs=1)
        assert [crash.actor for crash in engine.statistics().crashes] == ["director"]
        assert (crashing.lives, engine.statistics().restarts) == (2, 1)


async def test_the_reminder_comes_back_and_reminds(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = Crashes(Reminder.run)
    monkeypatch.setattr(Reminder, "run", lambda self: crashing(self))
    store = Unsent()
    async with engine_on(ScriptedNetwork(site=lambda: [FAILING]), store) as engine:
        channel = await engine.channels.add({**HOOK, "reminderEvery": 60_000})
        await engine.add(http(notifications={"enabled": True, "channels": ["hook"]}))
        await trio.sleep(100)
        _, deliveries = await store.deliveries(channel.number, offset=0, limit=10)
        assert [one.event for one in deliveries] == ["monitor.reminder", "monitor.down"]
        assert [crash.actor for crash in engine.statistics().crashes] == ["reminder"]


async def test_a_writer_that_crashes_after_the_commit_neither_loses_nor_doubles_anything(
    autojump_clock: MockClock,
) -> None:
    class CrashesAfter(Unsent):
        crashes = 0

        async def append(self, heartbeats: Sequence[Heartbeat], deliveries: Sequence[NewDelivery] = ()) -> None:
            await super().append(heartbeats, deliveries)
            if any(heartbeat.transition for heartbeat in heartbeats) and self.crashes < 3:
                self.crashes += 1
                raise RuntimeError("a bug")

    store = CrashesAfter()
    network = ScriptedNetwork(site=lambda: [FAILING] if 30 < trio.current_time() < 60 else [OK])
    async with engine_on(network, store) as engine:
        channel = await engine.channels.add(HOOK)
        monitor = http(interval=1000, notifications={"enabled": True, "channels": ["hook"]})
        id = (await engine.add(monitor)).entry.id
        await trio.sleep(90)
        checks = len(network.times("site"))
        beats = await engine.heartbeats(id, limit=1000)
        assert len(beats) == pytest.approx(checks, abs=1)
        assert sum(beat.transition for beat in beats) == 3
        _, deliveries = await store.deliveries(channel.number, offset=0, limit=10)
        assert [one.event for one in deliveries] == ["monitor.up", "monitor.down"]
        assert (await store.outages(1, from_ms=0, to_ms=2 * EPOCH_MS, limit=10))[0] == 1
        assert [crash.actor for crash in engine.statistics().crashes] == ["writer"] * 3
        assert engine.statistics().backlog <= 1


async def test_a_push_that_waits_for_its_acknowledgement_gets_it_though_the_writer_crashes(
    autojump_clock: MockClock,
) -> None:
    store = Faulty(append=[RuntimeError("a bug"), StoreFailed("disk full"), RuntimeError("another")])
    async with engine_on(ScriptedNetwork(), store) as engine:
        entry = (await engine.add({"type": "push", "name": "job"})).entry
        await engine.push(entry.push_id or "")
        assert len(await store.heartbeats(entry.number, limit=10)) == 1
        assert [crash.actor for crash in engine.statistics().crashes] == ["writer"] * 2


async def test_a_change_that_could_not_be_stored_brings_no_check_forward(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(self: MemoryStore, entry: Entry, deliveries: Sequence[NewDelivery] = ()) -> None:
        raise StoreFailed("disk full")

    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        id = (await engine.add(http(interval=60_000))).entry.id
        await trio.sleep(120)
        faults = [RuntimeError("a bug")]
        conclude = Runtime.conclude

        def faulty(self: Runtime, outcome: Outcome, *, is_early: bool) -> object:
            if faults:
                raise faults.pop()
            return conclude(self, outcome, is_early=is_early)

        monkeypatch.setattr(Runtime, "conclude", faulty)
        monkeypatch.setattr(MemoryStore, "replace", failing)
        with pytest.raises(StoreFailed):
            await engine.update(id, {"retries": 1})
        await trio.sleep(180)
        assert engine.statistics().restarts == 1
    gaps = [later - earlier for earlier, later in pairwise(network.times("site")[1:])]
    assert gaps == pytest.approx([60] * len(gaps), abs=0.01), "the crashed check's next is in its slot"


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
