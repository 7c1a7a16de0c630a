"""A crowd lets others have their turn."""

from __future__ import annotations

from itertools import pairwise

import trio
import trio.testing

from peekaping.api.turnstile import Turnstile


async def test_in_each_round_of_the_loop_one_may_begin_in_the_order_they_came() -> None:
    turnstile, begun, before_each_check = Turnstile(), list[int](), list[int]()

    async def request(number: int) -> None:
        await turnstile.enter()
        begun.append(number)

    async def check() -> None:
        while len(begun) < 50:
            await trio.lowlevel.checkpoint()
            before_each_check.append(len(begun))

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as crowd:
            for number in range(50):
                crowd.start_soon(request, number)
                await trio.testing.wait_all_tasks_blocked()
            assert begun == [0], "nobody has begun another round"
            nursery.start_soon(turnstile.run)
            crowd.start_soon(check)
        nursery.cancel_scope.cancel()
    assert begun == list(range(50))
    assert max(later - sooner for sooner, later in pairwise(before_each_check)) <= 2, "one of that round, one of this"


async def test_who_comes_alone_does_not_wait() -> None:
    turnstile = Turnstile()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turnstile.run)
        for _ in range(3):
            with trio.fail_after(1):
                await turnstile.enter()
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_who_goes_while_waiting_is_passed_over() -> None:
    turnstile, begun = Turnstile(), list[int]()

    async def request(number: int) -> None:
        await turnstile.enter()
        begun.append(number)

    async with trio.open_nursery() as nursery:
        await turnstile.enter()  # nobody begins a round yet
        with trio.CancelScope() as gone:
            async with trio.open_nursery() as going:
                going.start_soon(request, 1)
                await trio.testing.wait_all_tasks_blocked()
                gone.cancel()
        nursery.start_soon(turnstile.run)
        with trio.fail_after(1):
            await request(2)
        nursery.cancel_scope.cancel()
    assert begun == [2]
