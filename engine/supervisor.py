"""Restarting crashed actors, one for one: an actor's crash is its own, its neighbours notice nothing.

The supervisor is a loop around the actor in the actor's own task, because a nursery for each of thousands of actors would
double their cost. Cancelling that task stops the actor for good.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import trio

from peekaping.engine.errors import Escalated

log = logging.getLogger(__name__)


class Policy(msgspec.Struct, frozen=True):
    """How an actor is restarted."""

    first_wait_s: float = 0.1
    longest_wait_s: float = 30.0
    healthy_after_s: float = 60.0
    """An actor that ran this long before it crashed waits `first_wait_s` again."""
    most_restarts: int | None = None
    """More restarts than this within `window_s` escalate; None: never."""
    window_s: float = 60.0


ESCALATES = Policy(longest_wait_s=2.0, most_restarts=20)
"""For those without whom the engine is of no use, so that giving up must be possible."""
FOR_EVER = Policy()
"""For those whose loss is no reason to stop the others, however often they crash: a monitor, whoever sends alerts."""


class Crash(msgspec.Struct, frozen=True):
    """One crash, as `statistics()` shows it."""

    actor: str
    at_ms: int
    error: str


class Supervisor:
    """Runs actors and counts their crashes."""

    def __init__(self, utc_ms: Callable[[], int], rng: random.Random | None = None) -> None:
        self._utc_ms = utc_ms
        self._random = rng or random.Random()
        self.restarts = 0
        self.recent: deque[Crash] = deque(maxlen=20)

    async def keep(self, name: str, actor: Callable[[], Awaitable[None]], policy: Policy) -> None:
        """Run `actor` and run it again whenever it crashes, until cancelled. Returning is a crash too.

        Waits double from `first_wait_s` to `longest_wait_s`, each with up to a quarter of jitter so that actors that crashed
        together do not come back together.

        Raises:
          Escalated: after `most_restarts` within `window_s`.
        """
        wait = policy.first_wait_s
        restarts: list[float] = []
        while True:
            started = trio.current_time()
            try:
                await actor()
                raise RuntimeError("the actor returned")
            except Exception as error:
                now = trio.current_time()
                restarts = [at for at in (*restarts, now) if at > now - policy.window_s]
                is_too_often = policy.most_restarts is not None and len(restarts) > policy.most_restarts
                self._note(name, error, "has done so too often" if is_too_often else "will be restarted")
                if is_too_often:
                    raise Escalated(f"{name} crashed {len(restarts)} times in {policy.window_s:g} s") from error
            except BaseExceptionGroup as group:  # cancelled, and one of its own tasks crashed in the same moment
                crash, rest = group.split(Exception)
                if crash is None or rest is None:
                    raise
                self._note(name, crash, "was stopped")
                raise rest from None  # with the crash it would end the nursery that all actors share
            if now - started >= policy.healthy_after_s:
                wait = policy.first_wait_s
            await trio.sleep(wait * (1 + self._random.random() / 4))
            wait = min(wait * 2, policy.longest_wait_s)

    def _note(self, name: str, error: Exception, then: str) -> None:
        self.restarts += 1
        self.recent.append(Crash(name, self._utc_ms(), f"{type(error).__name__}: {error}"))
        log.error("%s crashed and %s", name, then, exc_info=error)
