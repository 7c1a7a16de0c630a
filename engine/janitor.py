"""The janitor actor: forgets what is older than it is kept, in small steps between which everybody else has the disk."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from peekaping.engine.ports import Store, StoreFailed

log = logging.getLogger(__name__)

BETWEEN_STEPS_S = 0.1
BETWEEN_ROUNDS_S = 300.0
LARGEST_STEP_S = 60.0
"""A clock that is put right little by little moves by 0.15 s from one round to the next."""
TRUSTED_AFTER_S = 3600.0
"""A clock that was set wrongly is noticed within this time, by whoever keeps it or by people."""


class Janitor:
    """One engine's janitor. `run` is the actor."""

    def __init__(self, store: Store, utc_ms: Callable[[], int]) -> None:
        self._store = store
        self._utc_ms = utc_ms
        self._began_s: float | None = None
        """Where trio's clock began on the wall clock, when both were last looked at."""
        self._trusted_from = float("-inf")
        """When the wall clock will have gone on for long enough since it was set, on trio's clock."""

    async def run(self) -> None:
        """Prune, until cancelled. A store that fails is left alone until the next round."""
        while True:
            has_more = False
            if self._is_clock_trusted(now_ms := self._utc_ms()):
                try:
                    has_more = await self._store.prune(now_ms)
                except StoreFailed as error:
                    log.warning("old history cannot be pruned, trying again in five minutes: %s", error)
            await trio.sleep(BETWEEN_STEPS_S if has_more else BETWEEN_ROUNDS_S)

    def _is_clock_trusted(self, now_ms: int) -> bool:
        """Whether the wall clock has not been set lately: one that is a year ahead for five minutes would cost all history."""
        now = trio.current_time()
        before_s, self._began_s = self._began_s, now_ms / 1000 - now
        if before_s is not None and abs(self._began_s - before_s) > LARGEST_STEP_S:
            self._trusted_from = now + TRUSTED_AFTER_S
            log.warning("the wall clock was set, or this host slept; old history is pruned again in an hour")
        return now >= self._trusted_from
