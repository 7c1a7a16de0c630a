"""Monitors that are told: silence is the failure."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from peekaping.engine.errors import NoSuchMonitor
from peekaping.engine.memory import MemoryStore
from peekaping.engine.records import Heartbeat, Status

from .scripted import ScriptedNetwork, engine_on

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
