"""What the outbox holds: channels as users made them, and deliveries, each one message for one channel."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from peekaping.engine.alerts.channel import Channel
from peekaping.engine.alerts.message import Event, Message
from peekaping.engine.alerts.settings import ChannelSettings


class ChannelEntry(msgspec.Struct, frozen=True, gc=False):
    """A channel as the server keeps it."""

    number: int
    """Never reused, also not after a deletion."""
    workspace: int
    settings: ChannelSettings
    channel: Channel
    created_ms: int
    updated_ms: int

    @property
    def id(self) -> str:
        return channel_id(self.number)


class State(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    """For its first try, or the next."""
    SENT = "sent"
    FAILED = "failed"
    """Given up: the service refused it, or a day was not enough."""


DISABLED = "The channel was disabled"
"""What came of those that waited then."""


class NewDelivery(msgspec.Struct, frozen=True, gc=False):
    """A message to put into the outbox. One whose channel has had its key is there already."""

    channel: int
    monitor: int
    message: Message

    @property
    def key(self) -> str:
        return self.message.key


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A message in the outbox."""

    number: int
    channel: int
    monitor: int
    message: Message
    made_ms: int
    """When what it tells happened, or somebody asked to have it sent again: its day begins."""
    due_ms: int
    """When it is tried next."""
    tries: int = 0
    first_tried_ms: int | None = None
    """Never after the last try, however the clock is set."""
    bundle: int | None = None
    """Those that were sent in one message stay together, so that it is the same message at every try: the first one's number."""
    state: State = State.WAITING
    finished_ms: int | None = None
    answer: str | None = None
    """What came of the last try."""

    @property
    def id(self) -> str:
        return f"delivery-{self.number}"

    @property
    def event(self) -> Event:
        return self.message.event

    @property
    def key(self) -> str:
        return self.message.key


class Tried(msgspec.Struct, frozen=True, gc=False):
    """What came of one try to send these."""

    numbers: tuple[int, ...]
    at_ms: int
    state: State
    answer: str
    due_ms: int = 0
    """When to try again, while it is WAITING."""
    untried_since_ms: int | None = None
    """What of their monitors was made by then and never tried ends with these: it waited all its time behind them."""


def channel_id(number: int) -> str:
    return f"channel-{number}"
