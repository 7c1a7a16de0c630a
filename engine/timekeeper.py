"""Wakes thousands of sleeping actors with one timer.

`trio.sleep_until` costs a deadline and an exception for every sleep: 45 µs a wake-up with 10,000 tasks asleep, where being
rescheduled by a neighbour costs 24 to 30. So one task holds the one deadline, and the others park beside it.

That task wakes at most every `QUANTUM_S`. Under load several sleepers then share one round of the event loop, and what
they send and receive shares others; a sleeper is late by a quantum at most, and by nothing when nobody was woken just before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

QUANTUM_S = 0.002
STANDSTILL_S = 0.05
"""A wake-up that comes so late tells of an event loop that has more to do than it can; a healthy one is 25 ms late at most."""

_Sleep = list[Any]
"""`[due, order, task]`; the task is None when it sleeps no more."""


class Timekeeper:
    """The clock behind all alarms of one engine. `run` must be running for sleepers to wake."""

    def __init__(self) -> None:
        self._sleepers: list[_Sleep] = []
        """A heap."""
        self._order = count()  # first come, first woken; and tasks do not compare
        self._until_next = trio.CancelScope()
        self._not_before = float("-inf")
        self.behind_s = 0.0
        """For how long the event loop has stood still so far, in sum."""

    async def run(self) -> None:
        """Wake each sleeper when it is due, until cancelled."""
        sleepers, task = self._sleepers, current_task()

        def rouse(_: Callable[[], None]) -> Abort:
            reschedule(task)
            return Abort.FAILED  # without the exception, which would cost as much as all the rest

        while True:
            await trio.lowlevel.checkpoint_if_cancelled()
            deadline = max(sleepers[0][0], self._not_before) if sleepers else float("inf")
            with trio.CancelScope(deadline=deadline) as self._until_next:
                await wait_task_rescheduled(rouse)
            now = trio.current_time()
            if (late_s := now - self._until_next.deadline) > STANDSTILL_S:
                self.behind_s += late_s
            self._not_before = now + QUANTUM_S
            while sleepers and sleepers[0][0] <= now:
                sleeper: Task | None = heappop(sleepers)[2]
                if sleeper is not None:
                    reschedule(sleeper)

    def wake(self, sleep: _Sleep) -> None:
        """See to it that this one is woken; only for `Alarm`."""
        sleep[1] = next(self._order)
        heappush(self._sleepers, sleep)
        if sleep[0] < self._until_next.deadline:
            self._until_next.deadline = max(sleep[0], self._not_before)


class Alarm:
    """One sleeper's alarm clock, for one task at a time.

    It is made once and set again and again: what thousands of sleepers would make anew for each sleep is what the garbage
    collector has to look through, and a look at 100,000 objects stops everything for 35 ms.
    """

    __slots__ = ("_sleep", "_timekeeper")

    def __init__(self, timekeeper: Timekeeper) -> None:
        self._timekeeper = timekeeper
        self._sleep: _Sleep = [0.0, 0, None]

    def sleep_until(self, due: float) -> Awaitable[object]:
        """Sleep until `due` on trio's clock; a moment that has passed is a checkpoint. Cancelled like any sleep.

        To be awaited at once. It is no coroutine of its own for the reason above.
        """
        sleep = self._sleep
        sleep[0], sleep[2] = due, current_task()
        self._timekeeper.wake(sleep)
        return wait_task_rescheduled(self._abort)  # noqa: ASYNC105 (the caller awaits it)

    def _abort(self, _: Callable[[], None]) -> Abort:
        self._sleep[2] = None  # it stays in the heap until it is due: a list, for each change of a monitor
        self._sleep = [0.0, 0, None]
        return Abort.SUCCEEDED
