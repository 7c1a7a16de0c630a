"""Wakes thousands of sleeping actors with one timer.

`trio.sleep_until` costs a deadline and an exception for every sleep: 45 µs a wake-up with 10,000 tasks asleep, where being
rescheduled by a neighbour costs 24 to 30. So one task holds the one deadline, and the others park beside it.

That task wakes at most every `QUANTUM_S`. Under load several sleepers then share one round of the event loop, and what
they send and receive shares others; a sleeper is late by a quantum at most, and by nothing when nobody was woken just before.

How late it wakes says for how long the event loop stood still. So it looks at the clock every `LOOK_S` while anybody probes,
though nobody be due: where monitors are few, nothing else would tell a target's silence from our own. Ten looks a second cost
0.3% of a core that does nothing else (measured with one target that hangs), and nothing where sleepers are due as often. Trio's
instruments would see all, for several clock readings in each round of the loop, of which a check has many.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from heapq import heappop, heappush

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from peekaping.engine.clock import slept_s

QUANTUM_S = 0.002
STANDSTILL_S = 0.05
"""A wake-up that comes so late tells of an event loop that has more to do than it can; a healthy one is 25 ms late at most."""
LOOK_S = 0.1
"""While probes run. A standstill is seen but for as much of it as passed before the next look was due."""


class Timekeeper:
    """The clock behind all alarms of one engine. `run` must be running for sleepers to wake."""

    def __init__(self, slept_s: Callable[[], float] = slept_s) -> None:
        self.slept_s = slept_s
        self._sleepers: dict[float, list[Task]] = {}
        """By when they are due, first come first. Monitors share slots (`schedule.py`), so that there are fewer times than
        sleepers to keep in order."""
        self._times: list[float] = []
        """A heap of those times, and of some at which nobody is due any more."""
        self._until_next = trio.CancelScope()
        self._not_before = float("-inf")
        self._behind_s = 0.0
        """For how long the event loop stood still before `_until_next` was due, in sum."""
        self._probing = 0
        """How many probes are running."""

    async def run(self) -> None:
        """Wake each sleeper when it is due, until cancelled."""
        times, sleepers, task = self._times, self._sleepers, current_task()

        def rouse(_: Callable[[], None]) -> Abort:
            reschedule(task)
            return Abort.FAILED  # without the exception, which would cost as much as all the rest

        now = self._not_before = trio.current_time()
        while True:
            await trio.lowlevel.checkpoint_if_cancelled()
            deadline = max(times[0], self._not_before) if times else float("inf")
            if self._probing:
                deadline = min(deadline, now + LOOK_S)
            with trio.CancelScope(deadline=deadline) as self._until_next:
                await wait_task_rescheduled(rouse)
            now = trio.current_time()
            if (late_s := now - self._until_next.deadline) > STANDSTILL_S:
                self._behind_s += late_s
            self._not_before = now + QUANTUM_S
            while times and times[0] <= now:
                for sleeper in sleepers.pop(heappop(times), ()):
                    reschedule(sleeper)

    def wake(self, due: float, task: Task) -> None:
        """See to it that this one is woken; only for `Alarm`."""
        sharing = self._sleepers.get(due)
        if sharing is not None:
            sharing.append(task)
            return
        self._sleepers[due] = [task]
        heappush(self._times, due)
        until = self._until_next.deadline
        if due < until:
            # Not in the past, however long ago it was due: that is no lateness of the loop.
            self._until_next.deadline = min(until, max(due, self._not_before, trio.current_time()))

    def behind_at(self, now: float) -> float:
        """For how long the event loop has stood still so far, in sum; also when who asks was woken before this one's own task.

        What this host slept counts from its boot on, so that only differences mean something.
        """
        late_s = now - self._until_next.deadline
        return self._behind_s + (late_s if late_s > STANDSTILL_S else 0.0) + self.slept_s()

    def begin(self, now: float) -> None:
        """A probe begins: until its `end`, standstills are looked for."""
        self._probing += 1
        if self._probing == 1 and self._until_next.deadline > now + LOOK_S:
            self._until_next.deadline = now + LOOK_S

    def end(self) -> None:
        """A probe that began has ended."""
        self._probing -= 1

    def forget(self, due: float, task: Task) -> None:
        """This one sleeps no more; only for `Alarm`. A time at which nobody is due stays until it has come or half of them are
        such, which may take a year where monitors are changed again and again."""
        sharing = self._sleepers[due]
        sharing.remove(task)
        if not sharing:
            del self._sleepers[due]
            if len(self._times) > 2 * len(self._sleepers):
                self._times[:] = sorted(self._sleepers)


class Alarm:
    """One sleeper's alarm clock, for one task at a time.

    It is made once and set again and again: what thousands of sleepers would make anew for each sleep is what the garbage
    collector has to look through, and a look at 100,000 objects stops everything for 35 ms.
    """

    __slots__ = ("_due", "_task", "_timekeeper")

    def __init__(self, timekeeper: Timekeeper) -> None:
        self._timekeeper = timekeeper

    def sleep_until(self, due: float) -> Awaitable[object]:
        """Sleep until `due` on trio's clock; a moment that has passed is a checkpoint. Cancelled like any sleep.

        To be awaited at once. It is no coroutine of its own for the reason above.
        """
        self._due, self._task = due, current_task()
        self._timekeeper.wake(due, self._task)
        return wait_task_rescheduled(self)  # noqa: ASYNC105 (the caller awaits it)

    def __call__(self, _: Callable[[], None]) -> Abort:
        """For trio, when the sleep is cancelled. The alarm itself: a method is bound anew for each sleep."""
        self._timekeeper.forget(self._due, self._task)
        return Abort.SUCCEEDED
