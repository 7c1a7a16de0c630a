"""What is old is forgotten, by a wall clock that may be wrong."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.accounting import DAY, HOUR
from peekaping.engine.janitor import Janitor
from peekaping.engine.memory import MemoryStore

from .scripted import virtual_utc_ms

YEAR = 365 * DAY


class Noting(MemoryStore):
    """A store that notes how far ahead of the time the clock was by which it pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.pruned: list[tuple[float, int]] = []

    async def prune(self, now_ms: int) -> bool:
        self.pruned.append((trio.current_time(), now_ms - virtual_utc_ms()))
        return await super().prune(now_ms)


@pytest.mark.parametrize("step_ms", [YEAR, -HOUR])
@pytest.mark.parametrize("for_s", [200, 1000])
async def test_a_clock_that_is_wrong_for_a_moment_costs_no_history(
    autojump_clock: MockClock, step_ms: int, for_s: int
) -> None:
    ahead_ms, store = 0, Noting()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Janitor(store, lambda: virtual_utc_ms() + ahead_ms).run)
        await trio.sleep(650)
        ahead_ms = step_ms
        await trio.sleep(for_s)
        ahead_ms = 0
        await trio.sleep(3 * 3600)
        nursery.cancel_scope.cancel()
    assert {ahead for _, ahead in store.pruned} == {0}
    assert [at for at, _ in store.pruned][:3] == [0, 300, 600]
    assert store.pruned[-1][0] > 650 + for_s + 2 * 3600, "and it goes on"


async def test_a_clock_that_was_set_for_good_is_believed_after_an_hour(autojump_clock: MockClock) -> None:
    ahead_ms, store = 0, Noting()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Janitor(store, lambda: virtual_utc_ms() + ahead_ms).run)
        await trio.sleep(650)
        ahead_ms = YEAR
        await trio.sleep(2 * 3600)
        nursery.cancel_scope.cancel()
    assert [at for at, ahead in store.pruned if ahead] == [4500 + 300 * n for n in range(12)]


async def test_a_clock_that_is_put_right_little_by_little_holds_nothing_up(autojump_clock: MockClock) -> None:
    store = Noting()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Janitor(store, lambda: virtual_utc_ms() + round(trio.current_time() * 10)).run)
        await trio.sleep(36_050)  # six minutes by then
        nursery.cancel_scope.cancel()
    assert len(store.pruned) == 121
