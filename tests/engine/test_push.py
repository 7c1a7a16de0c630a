"""Monitors that are told: silence is the failure."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from peekaping.engine import outlets, writer
from peekaping.engine.errors import NoSuchMonitor
from peekaping.engine.memory import MemoryStore
from peekaping.engine.ports import StoreFailed
from peekaping.engine.records import Heartbeat, Status

from .scripted import OK, ScriptedNetwork, engine_on, http

UP, DOWN, PENDING = Status.UP, Status.DOWN, Status.PENDING


def job(**fields: Any) -> dict[str, Any]:
    return {"type": "push", "name": "job", "interval": 60_000, "grace": 5_000, **fields}


async def test_it_is_up_while_it_is_told_so(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(job())).entry
        assert entry.push_id is not None
        for _ in range(10):
            await engine.push(entry.push_id, message="fine", response_ms=12)
            await trio.sleep(64)
        beats = await engine.heartbeats(entry.id)
        assert [beat.status for beat in beats] == [UP] * 10
        assert (beats[0].message, beats[0].response_ms) == ("fine", 12)


async def test_silence_is_down_after_interval_and_grace(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(job())).entry
        await trio.sleep(10)
        await engine.push(entry.push_id or "")
        await trio.sleep(64.9)
        assert engine.get(entry.id).state.status is UP
        await trio.sleep(0.2)
        assert engine.get(entry.id).state.status is DOWN
        assert engine.get(entry.id).last.reason == "no_push"  # type: ignore[union-attr]
        await engine.push(entry.push_id or "")
        assert engine.get(entry.id).state.status is UP


async def test_a_monitor_that_was_never_told_anything_goes_down_too(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        id = (await engine.add(job(retries=1))).entry.id
        await trio.sleep(65.1)
        assert engine.get(id).state.status is PENDING
        await trio.sleep(60)
        assert engine.get(id).state.status is DOWN


async def test_the_target_may_report_its_own_failure(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(job())).entry
        await engine.push(entry.push_id or "", status=DOWN, message="queue stuck")
        last = engine.get(entry.id).last
        assert last is not None
        assert (last.status, last.message, last.reason) == (DOWN, "queue stuck", "reported")


async def test_an_acknowledged_push_is_stored(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        entry = (await engine.add(job())).entry
        await engine.push(entry.push_id or "")
        assert len(await store.heartbeats(entry.number, limit=10)) == 1


async def test_an_unknown_push_id_and_a_paused_monitor_take_nothing(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(job())).entry
        with pytest.raises(NoSuchMonitor):
            await engine.push("0" * 32)
        await engine.pause(entry.id)
        with pytest.raises(NoSuchMonitor):
            await engine.push(entry.push_id or "")
        await engine.delete(entry.id)
        with pytest.raises(NoSuchMonitor):
            await engine.push(entry.push_id or "")


async def test_a_restart_keeps_the_push_id(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        push_id = (await engine.add(job())).entry.push_id
    async with engine_on(ScriptedNetwork(), store) as engine:
        assert engine.monitors()[0].entry.push_id == push_id
        await engine.push(push_id or "")


async def test_pushes_that_came_while_our_own_loop_slept_are_no_outage(mock_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(job(interval=1000, grace=100))).entry
        with engine.subscribe() as live:
            await wait_all_tasks_blocked()
            mock_clock.jump(5)
            await wait_all_tasks_blocked()
            beat = await anext(live)
    assert isinstance(beat, Heartbeat)
    assert (beat.status, beat.reason) == (Status.UNKNOWN, "starved")
    assert entry.push_id


async def test_while_failing_the_next_push_is_expected_after_the_retry_interval(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        id = (await engine.add(job(retries=1, retryInterval=10_000))).entry.id
        await trio.sleep(65.1)
        assert engine.get(id).state.status is PENDING
        await trio.sleep(10)
        assert engine.get(id).state.status is DOWN


DAY_S = 86_400


def daily(**fields: Any) -> dict[str, Any]:
    return job(interval=DAY_S * 1000, grace=10_000, **fields)


async def shown_after(store: MemoryStore, *hours: float) -> list[Status]:
    """What the one monitor shows before each stop of an engine that runs so long at a time."""
    shown = []
    for each in hours:
        async with engine_on(ScriptedNetwork(), store) as engine:
            await trio.sleep(each * 3600)
            shown.append(engine.get("monitor-1").state.status)
    return shown


@pytest.mark.parametrize(("hours", "shown"), [((23, 23), DOWN), ((23.9, 0.9), UP), ((23.9, 1.1), DOWN)])
async def test_a_daily_push_that_fails_is_seen_though_the_server_restarts_daily(
    autojump_clock: MockClock, hours: tuple[float, float], shown: Status
) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        await engine.push((await engine.add(daily())).entry.push_id or "")
    assert await shown_after(store, *hours) == [UP, shown], "a push that found no server has an hour to come again"


async def test_a_monitor_that_was_never_told_anything_goes_down_over_restarts(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        await engine.add(daily())
    assert await shown_after(store, 20, 20) == [PENDING, DOWN]


async def test_a_push_that_was_due_while_the_server_was_off_is_unknown_then_down(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        await engine.push((await engine.add(daily())).entry.push_id or "")
    await trio.sleep(3 * DAY_S)
    assert await shown_after(store, 0.9, 1.1) == [UP, Status.UNKNOWN]
    assert await shown_after(store, 23, 23) == [Status.UNKNOWN, DOWN]


async def test_a_push_that_fell_into_a_short_restart_is_unknown(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        await engine.push((await engine.add(daily())).entry.push_id or "")
        await trio.sleep(DAY_S - 1)
    await trio.sleep(3)
    assert await shown_after(store, 0.9, 1.1) == [UP, Status.UNKNOWN]


async def test_a_silent_monitor_goes_on_with_its_retries_after_a_restart(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        await engine.push((await engine.add(daily(retries=2, retryInterval=60_000))).entry.push_id or "")
        await trio.sleep(DAY_S + 15)
        assert engine.get("monitor-1").state.status is PENDING
    assert await shown_after(store, 0.1) == [DOWN]


async def test_a_push_that_waits_while_its_monitor_is_changed_is_heard(autojump_clock: MockClock) -> None:
    class Slow(MemoryStore):
        async def replace(self, *args: Any) -> None:
            await trio.sleep(0.1)
            await super().replace(*args)

    async with engine_on(ScriptedNetwork(), Slow()) as engine:
        entry = (await engine.add(job())).entry
        await engine.push(entry.push_id or "")
        await trio.sleep(64.95)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.update, entry.id, {"grace": 5001})
            await trio.sleep(0.02)
            nursery.start_soon(engine.push, entry.push_id or "")
        assert {beat.status for beat in await engine.heartbeats(entry.id)} == {UP}


async def test_a_short_restart_gives_a_push_a_whole_interval(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        await engine.push((await engine.add(job())).entry.push_id or "")
        await trio.sleep(55)
    async with engine_on(ScriptedNetwork(), store) as engine:
        await trio.sleep(64.9)
        assert engine.get("monitor-1").state.status is UP
        await trio.sleep(0.2)
        assert engine.get("monitor-1").state.status is DOWN


async def test_changes_do_not_keep_a_silent_monitor_from_going_down(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(job())).entry
        await engine.push(entry.push_id or "")
        for n in range(6):
            await trio.sleep(10)
            await engine.update(entry.id, {"retryInterval": 10_000 + n})
        await trio.sleep(5.1)
        assert engine.get(entry.id).state.status is DOWN


async def test_another_interval_counts_from_the_last_push_and_forgives_what_it_makes_late(
    autojump_clock: MockClock,
) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(daily())).entry
        await engine.push(entry.push_id or "")
        await trio.sleep(10 * 3600)
        await engine.update(entry.id, {"interval": 12 * 3_600_000})
        await trio.sleep(2 * 3600 + 11)
        assert engine.get(entry.id).state.status is DOWN
        await engine.push(entry.push_id or "")
        await trio.sleep(1800)
        await engine.update(entry.id, {"interval": 60_000})
        await trio.sleep(69)
        assert engine.get(entry.id).state.status is UP
        await trio.sleep(2)
        assert engine.get(entry.id).state.status is DOWN


async def test_a_pause_neither_blames_a_push_that_it_refused_nor_forgives_one_after_it(
    autojump_clock: MockClock,
) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(daily())).entry
        await engine.push(entry.push_id or "")
        for _ in range(2):  # a push would have come when it was not paused
            await trio.sleep(10 * 3600)
            await engine.pause(entry.id)
            await trio.sleep(3600)
            await engine.resume(entry.id)
        assert engine.get(entry.id).state.status is PENDING
        await trio.sleep(2 * 3600 + 11)
        assert engine.get(entry.id).state.status is DOWN
        await engine.push(entry.push_id or "")
        await engine.pause(entry.id)
        await trio.sleep(3 * DAY_S)
        await engine.resume(entry.id)
        await trio.sleep(DAY_S)
        assert engine.get(entry.id).state.status is Status.UNKNOWN


async def test_a_clock_that_was_set_back_delays_a_silent_monitor_by_an_interval_at_most(
    autojump_clock: MockClock,
) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        await engine.push((await engine.add(job())).entry.push_id or "")
        (beat,) = await store.heartbeats(1, limit=1)
    await store.append([msgspec.structs.replace(beat, at=beat.at + DAY_S * 1000)])
    async with engine_on(ScriptedNetwork(), store) as engine:
        await trio.sleep(65.1)
        assert engine.get("monitor-1").state.status is DOWN


async def test_a_backup_that_failed_while_our_loop_stood_still_is_told_soon(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(daily())).entry
        await engine.push(entry.push_id or "")
        await trio.sleep(DAY_S + 9.9)
        autojump_clock.jump(1)
        await trio.sleep(0.1)
        assert engine.get(entry.id).state.status is Status.UNKNOWN, "the push may lie there unread"
        await trio.sleep(10)
        assert engine.get(entry.id).state.status is DOWN


async def test_a_push_that_is_read_after_a_standstill_was_in_time(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(daily())).entry
        await engine.push(entry.push_id or "")
        await trio.sleep(DAY_S + 9.9)
        autojump_clock.jump(1)
        await trio.sleep(2)
        await engine.push(entry.push_id or "")
        await trio.sleep(DAY_S)
        assert {beat.status for beat in await engine.heartbeats(entry.id)} == {UP, Status.UNKNOWN}


async def test_pushes_that_came_while_this_host_slept_are_no_outage(autojump_clock: MockClock) -> None:
    slept_s = 0.0
    async with engine_on(ScriptedNetwork(), slept_s=lambda: slept_s) as engine:
        entry = (await engine.add(job())).entry
        await engine.push(entry.push_id or "")
        await trio.sleep(30)
        slept_s = 8 * 3600
        await trio.sleep(36)
        assert engine.get(entry.id).state.status is Status.UNKNOWN
        await trio.sleep(63)
        assert engine.get(entry.id).state.status is Status.UNKNOWN, "the target has a whole interval again"
        await trio.sleep(2)
        assert engine.get(entry.id).state.status is DOWN


async def test_a_moment_of_sleep_does_not_forgive_a_missed_backup_for_another_day(autojump_clock: MockClock) -> None:
    slept_s = 0.0
    async with engine_on(ScriptedNetwork(), slept_s=lambda: slept_s) as engine:
        entry = (await engine.add(job(interval=DAY_S * 1000))).entry
        await engine.push(entry.push_id or "")
        slept_s = 1.0
        await trio.sleep(DAY_S + 11)
        assert engine.get(entry.id).state.status is Status.UNKNOWN
        await trio.sleep(3600)
        assert engine.get(entry.id).state.status is DOWN


async def test_silence_is_down_however_long_this_host_slept_before_the_last_push(autojump_clock: MockClock) -> None:
    slept_s = 0.0
    async with engine_on(ScriptedNetwork(), slept_s=lambda: slept_s) as engine:
        entry = (await engine.add(job())).entry
        slept_s = 8 * 3600
        await engine.push(entry.push_id or "")
        await trio.sleep(65.1)
        assert engine.get(entry.id).state.status is DOWN


async def test_a_push_that_comes_while_its_monitor_is_paused_is_heard_or_refused(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        entry = (await engine.add(job())).entry
        heard = 0

        async def push() -> None:
            nonlocal heard
            with suppress(NoSuchMonitor):
                await engine.push(entry.push_id or "")
                heard += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.pause, entry.id)
            for _ in range(20):  # one falls into each moment of it
                nursery.start_soon(push)
                await trio.lowlevel.checkpoint()
        beats = await engine.heartbeats(entry.id)
        assert [beat.status for beat in beats] == [Status.PAUSED] + [UP] * heard
        assert 0 < heard < 20
        await trio.sleep(DAY_S)
        await engine.resume(entry.id)
        await trio.sleep(1)
        assert engine.get(entry.id).state.status is PENDING, "none of them passes for a new one"


async def test_a_push_is_not_acknowledged_because_later_heartbeats_gave_way(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(MemoryStore):
        """One that takes nothing for five seconds, then one batch, and all it is given three seconds later."""

        batches = 0

        async def append(self, *args: Any) -> None:
            if trio.current_time() < (8 if self.batches else 5):
                raise StoreFailed("disk full")
            self.batches += 1
            await super().append(*args)

    monkeypatch.setattr(outlets, "WRITER_CAPACITY", 32)
    monkeypatch.setattr(writer, "LARGEST_BATCH", 5)
    store = Failing()
    async with engine_on(ScriptedNetwork(site=lambda: [OK]), store) as engine:
        entry = (await engine.add(job())).entry
        for _ in range(10):
            await engine.add(http(interval=1000))
        await trio.sleep(1)
        await engine.push(entry.push_id or "")
        assert len(await store.heartbeats(entry.number, limit=10)) == 1
        assert engine.statistics().dropped > 0
