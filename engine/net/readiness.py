"""Waiting until sockets are ready: one epoll for all probes, whose descriptor is the only one that trio watches.

`trio.lowlevel.wait_readable` arms a descriptor for each wait and disarms it after: three system calls and an exception for
a socket that is new, and each check has a new one. Here a socket is registered once, edge-triggered, and whatever became
ready since the last look is woken by one task.

Edge-triggered means that a descriptor is reported when something new happens, not while something is there. The rule that makes
this safe: whoever waits has been refused by the kernel (EAGAIN) since its last wait ended, or has never waited. All that may have
happened before that is then known to it; what happens later is reported, and kept for it if it does not wait yet, in which case
waiting is a mere checkpoint. `Connection._is_drained` is that knowledge.
"""

from __future__ import annotations

import select
from collections.abc import Callable

from trio.lowlevel import (
    Abort,
    RunVar,
    Task,
    checkpoint,
    current_task,
    reschedule,
    spawn_system_task,
    wait_readable,
    wait_task_rescheduled,
)

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
_MODE = select.EPOLLET | select.EPOLLRDHUP


class Readiness:
    """What is ready and who waits for it, by descriptor. One task at a time may wait for a descriptor."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, int] = {}
        """What each is registered for."""
        self._waiting: dict[int, Task | None] = {}
        """Who waits; None: something happened that nobody has waited for yet."""

    async def run(self) -> None:
        """Wake those whose sockets became ready, until cancelled."""
        try:
            while True:
                await wait_readable(self._epoll.fileno())
                self._look()
        finally:
            self._epoll.close()

    def _look(self, most: int = -1) -> None:
        """Wake those whose sockets became ready since the last look."""
        for descriptor, _ in self._epoll.poll(0, most):
            task = self._waiting.pop(descriptor, None)
            if task is None:
                self._waiting[descriptor] = None
            else:
                reschedule(task)

    async def wait(self, descriptor: int, what: int) -> None:
        """Wait until something happens to a socket: at least READ or WRITE, whichever is asked for.

        It may wake for another reason, so the caller tries again. Call `forget` before the socket is closed.
        """
        watched = self._watched.get(descriptor)
        if watched is None:
            self._epoll.register(descriptor, what | _MODE)
            self._watched[descriptor] = what
        elif watched & what != what:
            self._epoll.modify(descriptor, watched | what | _MODE)
            self._watched[descriptor] = watched | what
        elif descriptor in self._waiting:
            await checkpoint()
            del self._waiting[descriptor]
            return
        waiting, task = self._waiting, current_task()

        def abort(_: Callable[[], None]) -> Abort:
            # After a standstill trio looks at deadlines before `run` has its turn, but what lies in the kernel came before
            # them: whoever it is for goes on with it, and is cancelled where it waits next.
            self._look(len(self._watched))  # at all of them: unasked epoll tells of a thousand
            if waiting.get(descriptor) is not task:
                return Abort.FAILED
            del waiting[descriptor]
            return Abort.SUCCEEDED

        waiting[descriptor] = task
        await wait_task_rescheduled(abort)

    def forget(self, descriptor: int) -> None:
        """Stop watching; the kernel itself forgets a descriptor when it is closed."""
        self._watched.pop(descriptor, None)
        self._waiting.pop(descriptor, None)


_readiness: RunVar[Readiness] = RunVar("readiness")


def readiness() -> Readiness:
    """The one of this event loop."""
    try:
        return _readiness.get()
    except LookupError:
        made = Readiness()
        _readiness.set(made)
        # A system task: whoever opens a connection has no nursery for it, and it ends with the event loop.
        spawn_system_task(made.run, name="readiness")
        return made
