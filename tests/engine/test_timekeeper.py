"""One timer for thousands of sleepers."""

from __future__ import annotations

import time

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from peekaping.engine.clock import slept_s
from peekaping.engine.timekeeper import QUANTUM_S, Alarm, Timekeeper


async def sleep_until(timekeeper: Timekeeper, due: float, woken: list[float]) -> None:
    await Alarm(timekeeper).sleep_until(due)
    woken.append(trio.current_time())


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(-5, 1000)), min_size=1, max_size=30))
def test_everybody_wakes_when_due_and_never_early(sleeps: list[tuple[float, float]]) -> None:
    woken: list[tuple[float, float]] = []

    async def main() -> None:
        timekeeper = Timekeeper()

        async def sleeper(begins: float, due: float) -> None:
            await trio.sleep_until(begins)
            await Alarm(timekeeper).sleep_until(due)
            woken.append((max(begins, due), trio.current_time()))

        async with trio.open_nursery() as keeping:
            keeping.start_soon(timekeeper.run)
            async with trio.open_nursery() as sleeping:
                for begins, due in sleeps:
                    sleeping.start_soon(sleeper, begins, due)
            keeping.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert len(woken) == len(sleeps)
    for due, at in woken:
        assert 0 <= at - due <= QUANTUM_S + 1e-6, "virtual time is rounded when it jumps"


async def test_sleepers_far_apart_are_not_late_at_all(autojump_clock: MockClock) -> None:
    timekeeper = Timekeeper()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timekeeper.run)
        for due in (1.0, 1.5, 7.25):
            await Alarm(timekeeper).sleep_until(due)
            assert trio.current_time() == due
        nursery.cancel_scope.cancel()


async def test_a_cancelled_sleeper_leaves_those_of_its_time_alone(autojump_clock: MockClock) -> None:
    timekeeper = Timekeeper()
    woken: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timekeeper.run)
        nursery.start_soon(sleep_until, timekeeper, 10, woken)
        alarm = Alarm(timekeeper)
        with trio.move_on_after(1) as scope:
            await alarm.sleep_until(10)
        assert scope.cancelled_caught
        await alarm.sleep_until(20)
        assert trio.current_time() == 20
        assert woken == [10]
        nursery.cancel_scope.cancel()


async def test_sleepers_that_give_up_leave_nothing_behind(autojump_clock: MockClock) -> None:
    timekeeper = Timekeeper()
    woken: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timekeeper.run)
        for due in (40, 20, 30, 10):
            nursery.start_soon(sleep_until, timekeeper, due, woken)
        for n in range(1000):
            with trio.move_on_after(0.001):
                await Alarm(timekeeper).sleep_until(1e9 + n)
        assert len(timekeeper._times) < 10
        await trio.sleep(50)
        assert woken == pytest.approx([10, 20, 30, 40])
        nursery.cancel_scope.cancel()


async def test_sleepers_outlive_the_timekeeper(autojump_clock: MockClock) -> None:
    timekeeper = Timekeeper()
    woken: list[float] = []
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as first_life:
            async with trio.open_nursery() as inner:
                inner.start_soon(timekeeper.run)
                nursery.start_soon(sleep_until, timekeeper, 5, woken)
                await wait_all_tasks_blocked()
                first_life.cancel()
        nursery.start_soon(timekeeper.run)
        await Alarm(timekeeper).sleep_until(6)
        assert trio.current_time() == 6
        assert woken == [5]
        nursery.cancel_scope.cancel()


async def test_sleeping_is_a_checkpoint_even_when_it_is_over(autojump_clock: MockClock) -> None:
    timekeeper = Timekeeper()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timekeeper.run)
        with assert_checkpoints():
            await Alarm(timekeeper).sleep_until(-1)
        nursery.cancel_scope.cancel()


def test_what_this_host_slept_is_what_one_of_its_clocks_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 100.5, time.CLOCK_MONOTONIC: 40.0}.__getitem__)
    assert slept_s() == 60.5
