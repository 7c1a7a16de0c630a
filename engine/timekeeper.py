"""Wakes thousands of sleeping actors with one timer.

`trio.sleep_until` costs a deadline and an exception for every sleep: 45 µs a wake-up with 10,000 tasks asleep, where being
rescheduled by a neighbour costs 24 to 30. So one task holds the one deadline, and the others park beside it.

That task wakes at most every `QUANTUM_S`. Under load several sleepers then share one round of the event loop, and what
they send and receive shares others; a sleeper is late by a quantum at most, and by nothing when nobody was woken just before.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

QUANTUM_S = 0.002


class Timekeeper:
    """An alarm clock shared by all actors of one engine. `run` must be running for sleepers to wake."""

    def __init__(self) -> None:
        self._sleepers: list[tuple[float, int, list[Task | None]]] = []
        self._order = count()  # first come, first woken; and tasks do not compare
        self._until_next = trio.CancelScope()
        self._not_before = float("-inf")

    async def run(self) -> None:
        """Wake each sleeper when it is due, until cancelled."""
        sleepers = self._sleepers
        while True:
            deadline = max(sleepers[0][0], self._not_before) if sleepers else float("inf")
            with trio.CancelScope(deadline=deadline) as self._until_next:
                await trio.sleep_forever()
            now = trio.current_time()
            self._not_before = now + QUANTUM_S
            while sleepers and sleepers[0][0] <= now:
                (task,) = heappop(sleepers)[2]
                if task is not None:
                    reschedule(task)

    async def sleep_until(self, due: float) -> None:
        """Sleep until `due` on trio's clock; a moment that has passed is a checkpoint. Cancelled like any sleep."""
        task: list[Task | None] = [current_task()]

        def abort(_: Callable[[], None]) -> Abort:
            task[0] = None
            return Abort.SUCCEEDED

        heappush(self._sleepers, (due, next(self._order), task))
        if due < self._until_next.deadline:
            self._until_next.deadline = max(due, self._not_before)
        await wait_task_rescheduled(abort)
