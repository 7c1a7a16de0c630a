"""Crashed actors come back; their neighbours notice nothing."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.errors import Escalated
from peekaping.engine.supervisor import Policy, Supervisor


class NoJitter(random.Random):
    def random(self) -> float:
        return 0.0


def supervisor() -> Supervisor:
    return Supervisor(lambda: round(trio.current_time() * 1000), NoJitter())


async def starts_of_a_crashing_actor(policy: Policy, healthy: list[float], within: float) -> list[float]:
    """When it was started; the nth run lasts `healthy[n]` seconds, later ones none."""
    starts: list[float] = []
    runs = list(healthy)

    async def actor() -> None:
        starts.append(trio.current_time())
        await trio.sleep(runs.pop(0) if runs else 0)
        raise ValueError("boom")

    with trio.move_on_after(within):
        await supervisor().keep("actor", actor, policy)
    return starts


async def test_waits_double_up_to_a_cap(autojump_clock: MockClock) -> None:
    starts = await starts_of_a_crashing_actor(Policy(first_wait_s=1, longest_wait_s=8), [], 40)
    assert starts == [0, 1, 3, 7, 15, 23, 31, 39]


async def test_a_healthy_run_is_forgiven(autojump_clock: MockClock) -> None:
    starts = await starts_of_a_crashing_actor(Policy(first_wait_s=1, healthy_after_s=10), [0, 0, 0, 10], 20)
    assert starts == [0, 1, 3, 7, 18, 20][: len(starts)]
    assert 18 in starts


async def test_too_many_crashes_in_too_short_a_time_escalate(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = supervisor()

    async def actor() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("boom")

    with pytest.raises(Escalated, match="writer crashed 4 times") as caught:
        await keeper.keep("writer", actor, Policy(most_restarts=3, window_s=60))
    assert isinstance(caught.value.__cause__, ValueError)
    *before, last = caplog.messages
    assert before == ["writer crashed and will be restarted"] * 3
    assert last == "writer crashed and has done so too often"


async def test_crashes_far_apart_do_not_escalate(autojump_clock: MockClock) -> None:
    starts = await starts_of_a_crashing_actor(
        Policy(first_wait_s=1, longest_wait_s=1, most_restarts=2, window_s=5), [10.0] * 50, 500
    )
    assert len(starts) > 40


async def test_an_actor_that_returns_has_crashed(autojump_clock: MockClock) -> None:
    keeper = supervisor()

    async def actor() -> None:
        await trio.sleep(1)

    with trio.move_on_after(2.05):
        await keeper.keep("hub", actor, Policy())
    assert keeper.restarts == 1
    (crash,) = keeper.recent
    assert (crash.actor, crash.at_ms, crash.error) == ("hub", 1000, "RuntimeError: the actor returned")


async def test_a_crash_in_an_actors_own_nursery_is_caught_too(autojump_clock: MockClock) -> None:
    keeper = supervisor()
    attempts = 0

    async def actor() -> None:
        nonlocal attempts
        attempts += 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ValueError("inside")

    with trio.move_on_after(1):
        await keeper.keep("actor", actor, Policy())
    assert attempts > 2


async def test_cancelling_stops_an_actor_at_once(autojump_clock: MockClock) -> None:
    keeper = supervisor()
    with trio.move_on_after(5) as scope:
        await keeper.keep("actor", trio.sleep_forever, Policy())
    assert scope.cancelled_caught
    assert trio.current_time() == 5
    assert keeper.restarts == 0


async def test_what_crashes_in_the_moment_of_a_stop_is_counted_and_stops_nobody_else(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = supervisor()

    async def crash_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise ValueError("boom") from None

    async def actor() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash_when_cancelled)
            await trio.sleep_forever()

    with trio.move_on_after(5) as scope:
        await keeper.keep("actor", actor, Policy())
    assert scope.cancelled_caught
    assert trio.current_time() == 5
    (crash,) = keeper.recent
    assert crash.error.startswith("ExceptionGroup")
    assert caplog.messages == ["actor crashed and was stopped"]
