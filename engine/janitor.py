"""The janitor actor: forgets what is older than it is kept, in small steps between which everybody else has the disk."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from peekaping.engine.ports import Store, StoreFailed

log = logging.getLogger(__name__)

BETWEEN_STEPS_S = 0.1
BETWEEN_ROUNDS_S = 300.0


class Janitor:
    """One engine's janitor. `run` is the actor."""

    def __init__(self, store: Store, utc_ms: Callable[[], int]) -> None:
        self._store = store
        self._utc_ms = utc_ms

    async def run(self) -> None:
        """Prune, until cancelled. A store that fails is left alone until the next round."""
        while True:
            try:
                has_more = await self._store.prune(self._utc_ms())
            except StoreFailed as error:
                log.warning("old history cannot be pruned, trying again in five minutes: %s", error)
                has_more = False
            await trio.sleep(BETWEEN_STEPS_S if has_more else BETWEEN_ROUNDS_S)
