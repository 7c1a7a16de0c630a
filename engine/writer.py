"""The writer actor: heartbeats from its channel into the store, in batches.

A batch is committed at most `COMMIT_EVERY_S` after its first heartbeat, at once when it holds a transition; with it, in the same
transaction, what is to be told of it. A store that
fails is tried again with growing waits while the channel holds what comes in; nothing of it ever looks like a failing target.
"""

from __future__ import annotations

import logging

import trio

from peekaping.engine.alerts.alerting import Alerting
from peekaping.engine.outlets import Outlet
from peekaping.engine.ports import Store, StoreFailed
from peekaping.engine.records import Heartbeat

log = logging.getLogger(__name__)

COMMIT_EVERY_S = 0.25
LARGEST_BATCH = 5000
LONGEST_RETRY_WAIT_S = 5.0


class Writer:
    """One engine's writer. `run` is the actor; what it holds survives its crash."""

    def __init__(self, store: Store, outlet: Outlet, alerting: Alerting) -> None:
        self._store = store
        self._alerting = alerting
        self._outlet = outlet
        self._unsaved: list[Heartbeat] = []
        self._committed = trio.Event()
        self.commits = 0
        self.saved = 0
        self.failing: str | None = None
        """Why the last commit failed; None when it did not."""

    @property
    def backlog(self) -> int:
        """Heartbeats that are not stored yet."""
        return self._outlet.offered - self._outlet.dropped - self.saved

    async def run(self) -> None:
        """Store what comes in, until cancelled; then `finish` must be called for the rest."""
        while True:
            if not self._unsaved:
                self._unsaved.append(await self._outlet.receive())
            if self._outlet.waiting < LARGEST_BATCH:
                with trio.move_on_after(COMMIT_EVERY_S):
                    await self._outlet.bell.wait()
            await self._commit()

    async def flush(self) -> None:
        """Wait until every heartbeat offered so far is stored (or gave way, which `dropped` tells)."""
        # Those that wait now come first. Later ones that give way do not count; where some of these do, more is waited for.
        enough = self.saved + self.backlog
        while self.saved < enough and self.backlog:
            self._outlet.bell.set()
            await self._committed.wait()

    async def finish(self) -> None:
        """Store everything that is left; for the time when `run` has been cancelled and nothing more comes."""
        while self.backlog:
            await self._commit()

    async def _commit(self) -> None:
        self._outlet.bell = trio.Event()
        self._unsaved += self._outlet.drain(LARGEST_BATCH - len(self._unsaved))
        plan = await self._alerting.plan(self._unsaved)
        wait = COMMIT_EVERY_S
        while True:
            try:
                await self._store.append(self._unsaved, plan.deliveries)
                break
            except StoreFailed as error:
                if self.failing is None:
                    log.error("heartbeats cannot be stored, trying again: %s", error)
                self.failing = str(error)
                await trio.sleep(wait)
                wait = min(wait * 2, LONGEST_RETRY_WAIT_S)
        if self.failing is not None:
            log.warning("heartbeats are stored again, %d wait", self.backlog)
            self.failing = None
        self._alerting.stored(plan)
        self.commits += 1
        self.saved += len(self._unsaved)
        self._unsaved.clear()
        self._committed.set()
        self._committed = trio.Event()
