"""Answers that are dear to make, kept for a moment for those who ask the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import trio

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

TIMES_AS_LONG = 100
LONGEST_S = 1.0


class _Answer(Generic[V]):
    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.until = float("-inf")
        self.value: V


class Kept(Generic[K, V]):
    """The latest answers by what was asked, `most` of them.

    Each is kept a hundred times as long as it took to make, and a second at most. So however often it is asked for, making one
    takes a hundredth of the time, where it takes 10 ms or less, and what is made in no time is as of now. What takes longer
    takes a larger part: nothing is kept for more than a second.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._answers: OrderedDict[K, _Answer[V]] = OrderedDict()

    async def get(self, asked: K, make: Callable[[], Awaitable[V]]) -> V:
        """The answer that is kept, or one that `make` makes; whoever asks meanwhile waits for it."""
        answer = self._answers.setdefault(asked, _Answer())
        self._answers.move_to_end(asked)
        if trio.current_time() < answer.until:
            return answer.value
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)
        async with answer.lock:
            began = trio.current_time()
            if began >= answer.until:
                answer.value = await make()
                ended = trio.current_time()
                answer.until = ended + min(LONGEST_S, TIMES_AS_LONG * (ended - began))
            return answer.value
