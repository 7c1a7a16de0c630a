"""The reminder actor: tells what no heartbeat tells, that a monitor is still down and that a certificate ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import trio

from peekaping.engine.alerts.alerting import Alerting
from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.alerts.ports import AlertStore
from peekaping.engine.ports import StoreFailed

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
"""Reminders come by the minute at the most."""
STEP_S = 0.001
"""After so long others have their turn: with 10,000 monitors down a look takes 40 ms, and each check would be late by it."""


class Reminder:
    """One engine's. `run` is the actor."""

    def __init__(self, store: AlertStore, alerting: Alerting, utc_ms: Callable[[], int]) -> None:
        self._store = store
        self._alerting = alerting
        self._utc_ms = utc_ms
        self._in_outbox: set[str] = set()
        """The keys of what it was given, as far as that held at the last look. After a restart the outbox itself knows them."""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except StoreFailed as error:
                log.error("reminders cannot be stored, trying again: %s", error)
            await trio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Tell what holds at this instant and was not told; raises StoreFailed, and tells the rest when called again."""
        now_ms, holding = self._utc_ms(), set[str]()
        new: list[NewDelivery] = []
        channels: set[int] = set()
        began = time.perf_counter()
        try:
            for monitor in self._alerting.noticeable(now_ms):
                for key, notice in self._alerting.notices(monitor, now_ms, self._in_outbox):
                    holding.add(key)
                    if notice is not None:
                        new.append(notice)
                if time.perf_counter() - began > STEP_S:
                    await self._enqueue(new, channels)
                    new.clear()
                    began = time.perf_counter()
            await self._enqueue(new, channels)
            self._in_outbox = holding
        finally:  # no sooner: what is found in one look may be told in one message
            self._alerting.wake(channels)

    async def _enqueue(self, new: Sequence[NewDelivery], channels: set[int]) -> None:
        if not new:
            await trio.lowlevel.checkpoint()
            return
        await self._store.enqueue(new)
        self._in_outbox.update(notice.key for notice in new)
        channels.update(notice.channel for notice in new)
