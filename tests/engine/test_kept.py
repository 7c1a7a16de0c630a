"""Answers that are kept for a moment."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.kept import LONGEST_S, Kept


class Maker:
    """Makes 1, 2, 3, ... and takes its time."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.made = 0

    async def __call__(self) -> int:
        await trio.sleep(self.takes_s)
        self.made += 1
        return self.made


async def test_whoever_asks_while_it_is_made_gets_the_same(autojump_clock: MockClock) -> None:
    kept, make = Kept[str, int](10), Maker(0.1)
    answers: list[int] = []

    async def ask() -> None:
        answers.append(await kept.get("what", make))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(ask)
    assert answers == [1] * 50


@pytest.mark.parametrize(("takes_s", "kept_s"), [(0.001, 0.1), (0.005, 0.5), (0.5, LONGEST_S)])
async def test_it_is_kept_a_hundred_times_as_long_as_it_took_and_a_second_at_most(
    autojump_clock: MockClock, takes_s: float, kept_s: float
) -> None:
    kept, make = Kept[str, int](10), Maker(takes_s)
    assert await kept.get("what", make) == 1
    await trio.sleep(kept_s * 0.99)
    assert await kept.get("what", make) == 1
    await trio.sleep(kept_s * 0.02)
    assert await kept.get("what", make) == 2


async def test_what_takes_no_time_is_as_of_now(autojump_clock: MockClock) -> None:
    kept, make = Kept[str, int](10), Maker(0)
    assert [await kept.get("what", make) for _ in range(3)] == [1, 2, 3]


async def test_another_question_has_another_answer_and_only_the_latest_are_kept(autojump_clock: MockClock) -> None:
    kept, make = Kept[int, int](2), Maker(0.1)
    assert [await kept.get(asked, make) for asked in (1, 2, 1, 2, 3, 3, 2, 1)] == [1, 2, 1, 2, 3, 3, 2, 4]


async def test_a_failure_is_not_kept(autojump_clock: MockClock) -> None:
    kept, make = Kept[str, int](10), Maker(0.1)

    async def fail() -> int:
        await trio.sleep(0.1)
        raise ValueError

    with pytest.raises(ValueError):
        await kept.get("what", fail)
    assert await kept.get("what", make) == 1
