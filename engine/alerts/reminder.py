"""The reminder actor: tells what no heartbeat tells, that a monitor is still down and that a certificate ends."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from peekaping.engine.alerts.alerting import Alerting
from peekaping.engine.alerts.ports import AlertStore
from peekaping.engine.ports import StoreFailed

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
"""Reminders come by the minute at the most."""


class Reminder:
    """One engine's. `run` is the actor."""

    def __init__(self, store: AlertStore, alerting: Alerting, utc_ms: Callable[[], int]) -> None:
        self._store = store
        self._alerting = alerting
        self._utc_ms = utc_ms
        self._told: set[str] = set()
        """The keys of what holds now and is in the outbox. After a restart the outbox itself knows them."""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            notices = self._alerting.notices(self._utc_ms())
            new = [notice for notice in notices if notice.key not in self._told]
            try:
                if new:
                    await self._store.enqueue(new)
                self._alerting.wake_for(new)
                self._told = {notice.key for notice in notices}
            except StoreFailed as error:
                log.error("reminders cannot be stored, trying again: %s", error)
            await trio.sleep(LOOK_EVERY_S)
