"""Services that take alerts as a test says, on virtual time, and engines whose channels lead to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import pytest
import trio

from peekaping.engine.alerts.channel import Channel
from peekaping.engine.alerts.message import Event, Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.engine import Engine

from .scripted import FAILING, OK, ScriptedNetwork, Step, http

WEBHOOK = {"type": "webhook", "config": {"url": "http://hook.example/"}}
SLACK = {"type": "slack", "config": {"url": "https://slack.example/T/B/x"}}


class Sent(NamedTuple):
    at: float
    kind: str
    message: Message


class Services:
    """Takes the place of sending. `react(channel, message)` may wait, and raise NotDelivered; `tried` has every try."""

    def __init__(self) -> None:
        self.tried: list[Sent] = []
        self.taken: list[Sent] = []
        self.react: Callable[[Channel, Message], Awaitable[object]] | None = None

    async def deliver(self, channel: Channel, message: Message, web: Web) -> str:
        await trio.lowlevel.checkpoint()
        self.tried.append(Sent(trio.current_time(), channel.kind, message))
        if self.react is not None:
            await self.react(channel, message)
        self.taken.append(Sent(trio.current_time(), channel.kind, message))
        return "200 OK"

    def events(self) -> list[tuple[str, str]]:
        """Monitor and event of what was taken, grouped messages taken apart."""
        return [named(one) for sent in self.taken for one in (sent.message.items or [sent.message])]


def named(message: Message) -> tuple[str, str]:
    assert message.monitor is not None
    return message.monitor.name, message.event.rpartition(".")[2]


class Sites:
    """Hosts that are up, until told otherwise."""

    def __init__(self, *names: str) -> None:
        self.down: set[str] = set()
        self.network = ScriptedNetwork(**{name: self._target(name) for name in names})

    def _target(self, name: str) -> Callable[[], list[Step]]:
        return lambda: [FAILING if name in self.down else OK]


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    services = Services()
    for module in ("outbox", "directory"):
        monkeypatch.setattr(f"peekaping.engine.alerts.{module}.deliver", services.deliver)
    return services


async def add_channel(engine: Engine, kind: dict[str, Any] = WEBHOOK, name: str = "hook", **fields: Any) -> str:
    """A channel's id."""
    return (await engine.channels.add({**kind, "name": name, **fields})).id


async def add_sites(engine: Engine, names: Iterable[str], channels: Iterable[str], **fields: Any) -> list[str]:
    """The ids of monitors of these hosts, checked every second, that tell these channels."""
    notifications = {"channels": list(channels)}
    return [
        (await engine.add(http(name, interval=1000, timeout=1000, notifications=notifications, **fields))).entry.id
        for name in names
    ]


ABOUT_MONITORS = [Event.CREATED, Event.UPDATED, Event.DELETED]
