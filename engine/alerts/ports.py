"""What alerting needs of storage, beside what heartbeats need (`engine/ports.py`, which says what holds for both)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from peekaping.engine.alerts.channel import Channel
from peekaping.engine.alerts.delivery import ChannelEntry, Delivery, NewDelivery, Tried
from peekaping.engine.alerts.message import Event
from peekaping.engine.alerts.settings import ChannelSettings
from peekaping.engine.clock import DAY_MS
from peekaping.engine.records import Entry

DELIVERIES_KEPT_MS = 30 * DAY_MS
"""After they were sent or given up."""
KEPT_OTHERWISE_MS = {Event.HEARTBEAT: DAY_MS, Event.CERTIFICATE: 400 * DAY_MS}
"""Of pushes there are many. What was told of a certificate is known by its delivery, as long as certificates last (398 days)."""


class Due(NamedTuple):
    """What of a channel is to be sent now."""

    deliveries: list[Delivery]
    next_ms: int | None
    """When the next of those that wait is due, after the present instant."""


class AlertStore(Protocol):
    """Every method may raise `StoreFailed`."""

    async def channels(self) -> list[ChannelEntry]:
        """All channels, by number."""

    async def add_channel(
        self, channel: Channel, settings: ChannelSettings, *, workspace: int, now_ms: int
    ) -> ChannelEntry:
        """Store a new channel and give it its number, which no channel had before. Raises NameTaken."""

    async def replace_channel(self, entry: ChannelEntry) -> None:
        """Store what changed of a channel. What waits for one that is disabled is given up. Raises NameTaken."""

    async def remove_channel(self, number: int, monitors: Sequence[Entry]) -> None:
        """Forget a channel and its deliveries, and store the monitors that named it, in one transaction."""

    async def down_since(self, numbers: Sequence[int]) -> dict[int, int]:
        """When the newest transition of each of these monitors was."""

    async def enqueue(self, deliveries: Sequence[NewDelivery]) -> None:
        """Put these into the outbox. Those whose key their channel has had change nothing, and so do those of a monitor or a
        channel that is not there (any more)."""

    async def channels_waiting(self) -> list[int]:
        """The channels for which something waits."""

    async def due(self, channel: int, now_ms: int, *, one_each: bool, limit: int) -> Due:
        """At most `limit` of a channel's deliveries that are due, those that have been so for longest first: what was never tried
        comes before what failed, so that no alert is late by others that fail for hours.

        Of each monitor only its first (`one_each`), or its first with those that may be told in the same message: its bundle, or
        what was never tried either. What was tried after the present instant is due: the clock was set back since.
        """

    async def bundle(self, numbers: Sequence[int]) -> None:
        """Note that these are sent in one message from now on."""

    async def settle(self, tried: Tried) -> None:
        """Store what came of a try. What was given up meanwhile, as its channel was disabled, does not wait again."""

    async def deliveries(self, channel: int, *, offset: int, limit: int) -> tuple[int, list[Delivery]]:
        """How many deliveries of a channel there are, and some of them, newest first."""

    async def redeliver(self, channel: int, number: int, now_ms: int) -> Delivery | None:
        """Let a delivery of a channel be tried again from now on, with the key it has, as if it were made now and never tried;
        None where there is no such."""
