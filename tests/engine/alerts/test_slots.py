"""Sends that need a process or a thread: they wait for one as long as it takes, and the time limit is for sending alone."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.alerts.channel import Channel
from peekaping.engine.alerts.channels.apprise import Apprise
from peekaping.engine.alerts.channels.email import Email
from peekaping.engine.alerts.delivery import State
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.engine import Engine

from ..alert_services import Sites, add_channel, add_sites
from ..scripted import engine_on

APPRISE = {"type": "apprise", "config": {"url": "json://service.example"}}
MAIL = {"host": "mail.example", "from": "a@mail.example", "to": ["b@mail.example"]}
EMAIL = {"type": "email", "config": MAIL}
TAKES_S = 20


class Slow:
    """Takes the place of both: each message takes a while. Real threads and processes know nothing of virtual time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began: list[str] = []
        self.most = self.running = 0

        async def send(channel: Channel, message: Message, web: Web) -> str:
            self.began.append(message.key)
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await trio.sleep(TAKES_S)
            finally:
                self.running -= 1
            return "taken"

        for kind in (Apprise, Email):
            monkeypatch.setattr(kind, "send", send)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


async def add_channels(engine: Engine, kind: dict[str, Any], count: int, name: str = "channel") -> list[str]:
    return [await add_channel(engine, kind, f"{name} {n}") for n in range(count)]


@pytest.mark.parametrize(("kind", "count", "at_once"), [(APPRISE, 15, 4), (EMAIL, 50, 20)])
async def test_a_burst_waits_for_its_turn_and_fails_by_no_timeout(
    autojump_clock: MockClock, slow: Slow, kind: dict[str, Any], count: int, at_once: int
) -> None:
    sites = Sites("shop")
    sites.down = {"shop"}
    async with engine_on(sites.network) as engine:
        channels = await add_channels(engine, kind, count)
        await add_sites(engine, ["shop"], channels)
        await trio.sleep(TAKES_S * count / at_once + 60)
        for id in channels:
            _, (delivery,) = await engine.channels.deliveries(id)
            assert (delivery.state, delivery.tries, delivery.answer) == (State.SENT, 1, "taken")
    assert slow.most == at_once


async def test_whoever_waits_for_a_turn_can_be_disabled_and_removed(autojump_clock: MockClock, slow: Slow) -> None:
    sites = Sites("shop")
    sites.down = {"shop"}
    async with engine_on(sites.network) as engine:
        channels = await add_channels(engine, APPRISE, 7)
        await add_sites(engine, ["shop"], channels)
        await trio.sleep(5)
        sending = {key.rpartition(":")[2] for key in slow.began}
        disabled, removed, last = set(channels) - sending
        await engine.channels.update(disabled, {"enabled": False})
        await engine.channels.delete(removed)
        await trio.sleep(3 * TAKES_S)
        assert {key.rpartition(":")[2] for key in slow.began} == {*sending, last}
        _, (delivery,) = await engine.channels.deliveries(disabled)
        assert (delivery.state, delivery.answer) == (State.FAILED, "The channel was disabled")
        assert engine.statistics().restarts == 0


async def test_a_test_waits_for_its_turn_and_says_so_when_none_comes(autojump_clock: MockClock, slow: Slow) -> None:
    sites = Sites("shop")
    sites.down = {"shop"}
    async with engine_on(sites.network) as engine:
        await add_sites(engine, ["shop"], await add_channels(engine, APPRISE, 5))
        tried = await add_channel(engine, APPRISE, "tried out")
        await trio.sleep(5)
        assert await engine.channels.test(tried) == (True, "taken"), "after those before it, longer than a try may take"
        assert trio.current_time() > 30
        await add_sites(engine, ["shop"], await add_channels(engine, APPRISE, 20, "more"))
        await trio.sleep(5)
        success, text = await engine.channels.test(tried)
        assert not success
        assert text.startswith("Nothing was sent")
