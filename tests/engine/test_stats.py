"""The stats actor: sums over many monitors while minutes move, and clocks that jump."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from peekaping.engine import kept, stats
from peekaping.engine.accounting import DAY, HOUR, MINUTE, Bucket, Tally
from peekaping.engine.engine import Engine
from peekaping.engine.memory import MemoryStore
from peekaping.engine.outlets import Outlet
from peekaping.engine.probes.push import PushMonitor
from peekaping.engine.reading import Overview
from peekaping.engine.records import Heartbeat, Status
from peekaping.engine.stats import Stats

from .scripted import EPOCH_MS, FAILING, OK, ScriptedNetwork, engine_on, http, virtual_utc_ms

YEAR = 365 * DAY
EPOCH = EPOCH_MS - EPOCH_MS % MINUTE


class SlowStore(MemoryStore):
    """One that takes its time to store minutes."""

    async def roll_up(self, buckets: Sequence[Bucket]) -> None:
        await trio.sleep(0.3)
        await super().roll_up(buckets)
        await trio.sleep(0.3)


async def pushed(engine: Engine, count: int) -> list[int]:
    """So many monitors, up from some time to some time after all tests; when each was pushed."""
    for n in range(count):
        snapshot = await engine.add(PushMonitor(name=f"job {n}", interval=DAY))
        assert snapshot.entry.push_id is not None
        await engine.push(snapshot.entry.push_id, response_ms=10)
    return [found.last.at for found in engine.monitors() if found.last is not None]


async def test_a_sum_misses_nothing_and_counts_nothing_twice_while_minutes_move(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "CHUNK", 3)
    async with engine_on(ScriptedNetwork(), SlowStore()) as engine:
        since = await pushed(engine, 10)
        await trio.sleep(1)
        reads = 0
        while trio.current_time() < 200:
            asked = virtual_utc_ms()
            totals: Overview = await engine.overview()
            answered = virtual_utc_ms()
            at_least = sum(asked - round(kept.LONGEST_S * 1000) - at for at in since)
            assert at_least <= totals.ever.up <= sum(answered - at for at in since), "no minute more, none less"
            assert totals.ever.checks == totals.day.checks == 10
            reads += 1
            await trio.sleep(0.05)
        assert reads > 500


async def test_a_sum_takes_up_minutes_that_end_while_it_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "CHUNK", 1)
    counted = Stats(MemoryStore(), Outlet(100), lambda: EPOCH + MINUTE - 1, [])
    for number in range(50):
        counted._tallies[number] = Tally(number, EPOCH)
        counted._take(Heartbeat(number, EPOCH, Status.UP, "OK", hold_ms=DAY))

    async def end_minutes() -> None:
        for number in reversed(range(50)):
            await trio.lowlevel.checkpoint()
            counted._take(Heartbeat(number, EPOCH + MINUTE + 1, Status.UP, "OK", hold_ms=DAY))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_minutes)
        total = await counted.unstored_of_all()
    assert 50 * (MINUTE - 1) <= total.up <= 50 * (MINUTE + 1)


async def test_a_pause_does_not_count_the_time_that_a_clock_jumps_over(autojump_clock: MockClock) -> None:
    ahead_ms = 0

    def clock() -> int:
        return virtual_utc_ms() + ahead_ms

    store = MemoryStore()
    async with Engine.open(store, network=ScriptedNetwork(site=lambda: [OK]), utc_ms=clock) as engine:
        entry = (await engine.add(http("site"))).entry
        await trio.sleep(90)
        await engine.pause(entry.id)
        await trio.sleep(600)
        ahead_ms = YEAR
        await trio.sleep(600)
        total = await engine.totals_of(entry.id, 2 * YEAR)
        assert total.paused == pytest.approx(1_200_000, abs=2 * MINUTE)
        minutes = await store.buckets(entry.number, MINUTE, from_ms=0, to_ms=EPOCH_MS + 2 * YEAR)
        assert len(minutes) < 30
        await engine.resume(entry.id)
        await trio.sleep(60)
        assert (await engine.totals_of(entry.id, HOUR)).up > 0


async def test_checks_made_while_the_store_hung_count_when_they_were_made(autojump_clock: MockClock) -> None:
    class Hanging(MemoryStore):
        async def roll_up(self, buckets: Sequence[Bucket]) -> None:
            if 100 < trio.current_time() < 500:
                await trio.sleep(400)
            await super().roll_up(buckets)

    network = ScriptedNetwork(site=lambda: [OK] if trio.current_time() < 300 else [FAILING])
    async with engine_on(network, Hanging()) as engine:
        id = (await engine.add(http("site", interval=10_000))).entry.id
        await trio.sleep(700)
        total = await engine.totals_of(id, DAY)
    assert total.up == pytest.approx(300_000, abs=10_000)
    assert total.down == pytest.approx(400_000, abs=10_000)


@pytest.mark.parametrize("was", ["off", "asleep"])
async def test_no_minute_of_a_long_time_is_lost_of_monitors_that_are_checked_once_a_day(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, was: str
) -> None:
    monkeypatch.setattr(stats, "MOST_UNSAVED", 3000)
    monkeypatch.setattr(stats, "MANY_UNSAVED", 500)
    ahead_ms = 0

    def clock() -> int:
        return virtual_utc_ms() + ahead_ms

    store = MemoryStore()
    async with Engine.open(store, network=ScriptedNetwork(), utc_ms=clock) as engine:
        await pushed(engine, 10)
        await trio.sleep(90)
        if was == "asleep":
            ahead_ms = 12 * HOUR
            await trio.sleep(90)
            totals = [await engine.totals_of(snapshot.entry.id, DAY) for snapshot in engine.monitors()]
    if was == "off":
        await trio.sleep(12 * HOUR / 1000)
        async with Engine.open(store, network=ScriptedNetwork(), utc_ms=clock) as engine:
            await trio.sleep(90)
            totals = [await engine.totals_of(snapshot.entry.id, DAY) for snapshot in engine.monitors()]
            assert engine.statistics().statistics_dropped == 0
    assert [total.up for total in totals] == [pytest.approx(12 * HOUR, abs=4 * MINUTE)] * 10


async def test_a_push_speaks_until_the_next_is_overdue_and_no_longer(autojump_clock: MockClock) -> None:
    store, job = MemoryStore(), PushMonitor(name="job", interval=60_000, grace=5_000)
    async with engine_on(ScriptedNetwork(), store) as engine:
        entry = (await engine.add(job)).entry
        await engine.push(entry.push_id or "")
    await trio.sleep(600)  # nobody runs the engine
    async with engine_on(ScriptedNetwork(), store) as engine:
        await trio.sleep(1)
        total = await engine.totals_of(entry.id, DAY)
    assert (total.up, total.down, total.unknown) == (60_000 + 5_000 + 1_000, 0, 0)
