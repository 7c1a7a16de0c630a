"""How alerts are sent: again until they are taken, each monitor's in order, and no channel waits for another."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from peekaping.engine.alerts.channel import Channel, NotDelivered
from peekaping.engine.alerts.channels import parse_channel
from peekaping.engine.alerts.delivery import NewDelivery, State, Tried
from peekaping.engine.alerts.message import Event, Message, compose
from peekaping.engine.alerts.outbox import AT_ONCE, GROUP_EVERY_S, Dispatcher
from peekaping.engine.alerts.ports import Due
from peekaping.engine.alerts.settings import ChannelSettings
from peekaping.engine.alerts.web import Web
from peekaping.engine.engine import Engine
from peekaping.engine.memory import MemoryStore
from peekaping.engine.ports import StoreFailed
from peekaping.engine.probes import parse_monitor
from peekaping.engine.supervisor import FOR_EVER, Supervisor

from .alert_services import SLACK, WEBHOOK, Services, Sites, add_channel, add_sites, named, services
from .scripted import EPOCH_MS, engine_on, http, virtual_utc_ms

__all__ = ["services"]
HOUR, DAY = 3600.0, 86_400.0


async def pause_all(engine: Engine) -> None:
    """What is tested needs no hours of checks."""
    for snapshot in engine.monitors():
        await engine.pause(snapshot.entry.id)


async def busy(channel: Channel, message: Message) -> None:
    raise NotDelivered("The service answered 503", retry=True)


async def test_a_service_that_is_down_is_tried_for_a_day_at_growing_intervals(
    autojump_clock: MockClock, services: Services
) -> None:
    sites = Sites("shop")
    sites.down = {"shop"}
    services.react = busy
    async with engine_on(sites.network, min_interval_ms=1000) as engine:
        hook = await add_channel(engine)
        await add_sites(engine, ["shop"], [hook])
        await trio.sleep(5)
        await pause_all(engine)
        await trio.sleep(2 * DAY)
        _, (delivery,) = await engine.channels.deliveries(hook)
    times = [sent.at for sent in services.tried]
    waits = [after - before for before, after in pairwise(times)]
    for wait, shortest in zip(waits[:12], (2**n for n in range(12)), strict=True):
        assert shortest <= wait <= shortest * 1.26
    assert all(HOUR <= wait <= 1.26 * HOUR for wait in waits[12:-1])
    assert times[-1] - times[0] == pytest.approx(DAY, abs=0.1)
    assert (delivery.state, delivery.tries) == (State.FAILED, len(times))
    assert delivery.answer == "The service answered 503"
    assert len({sent.message.key for sent in services.tried}) == 1


async def test_a_service_is_left_alone_for_as_long_as_it_says(autojump_clock: MockClock, services: Services) -> None:
    async def later(channel: Channel, message: Message) -> None:
        if len(services.tried) < 2:
            raise NotDelivered("Too many", retry=True, after_s=90)

    sites = Sites("shop")
    sites.down = {"shop"}
    services.react = later
    async with engine_on(sites.network) as engine:
        await add_sites(engine, ["shop"], [await add_channel(engine)])
        await trio.sleep(100)
    first, second = services.tried
    assert second.at - first.at == pytest.approx(90, abs=0.1)


async def test_what_a_service_refuses_is_given_up_at_once(autojump_clock: MockClock, services: Services) -> None:
    async def refuse(channel: Channel, message: Message) -> None:
        if message.event == "monitor.down":
            raise NotDelivered("The service answered 400", retry=False)

    sites = Sites("shop")
    services.react = refuse
    async with engine_on(sites.network) as engine:
        hook = await add_channel(engine)
        await add_sites(engine, ["shop"], [hook])
        await trio.sleep(5)
        sites.down = {"shop"}
        await trio.sleep(5)
        sites.down = set()
        await trio.sleep(5)
        count, (up, down) = await engine.channels.deliveries(hook)
        assert (count, down.state, down.tries, up.state) == (2, State.FAILED, 1, State.SENT)
        await engine.channels.redeliver(hook, down.id)
        await trio.sleep(1)
        assert [sent.message.key for sent in services.tried] == [down.key, up.key, down.key]


async def test_a_monitors_alerts_keep_their_order(autojump_clock: MockClock, services: Services) -> None:
    chance, mood = random.Random(7), random.Random()

    async def moody(channel: Channel, message: Message) -> None:
        await trio.sleep(mood.random() * 3)
        if mood.random() < 0.5:
            raise NotDelivered("not now", retry=True)

    names = [f"site{n}" for n in range(6)]
    sites = Sites(*names)
    services.react = moody
    async with engine_on(sites.network) as engine:
        await add_sites(engine, names, [await add_channel(engine)])
        await trio.sleep(3)
        for _ in range(40):
            sites.down = {name for name in names if chance.random() < 0.5}
            await trio.sleep(3)
        sites.down = set()
        services.react = None
        await trio.sleep(3)
        await pause_all(engine)
        await trio.sleep(2 * HOUR)
    for name in names:
        events = [event for site, event in services.events() if site == name]
        assert len(events) > 10
        assert events == ["down", "up"] * (len(events) // 2)


async def test_a_channel_that_hangs_holds_up_neither_checks_nor_other_channels(
    autojump_clock: MockClock, services: Services
) -> None:
    async def hang(channel: Channel, message: Message) -> None:
        if channel.kind == "webhook":
            await trio.sleep_forever()

    names = [f"site{n}" for n in range(20)]
    sites = Sites(*names)
    services.react = hang
    async with engine_on(sites.network) as engine:
        channels = [await add_channel(engine), await add_channel(engine, SLACK, name="people")]
        await add_sites(engine, names, channels)
        await trio.sleep(5)
        sites.down = set(names)
        await trio.sleep(60)
        assert sorted(services.events()) == sorted((name, "down") for name in names)
        assert all(len(sites.network.times(name)) >= 64 for name in names)
        assert len([sent for sent in services.tried if sent.kind == "webhook"]) == AT_ONCE
        assert engine.statistics().restarts == 0


async def test_one_message_that_hangs_holds_up_none_of_other_monitors(
    autojump_clock: MockClock, services: Services
) -> None:
    async def hang(channel: Channel, message: Message) -> None:
        if named(message)[0] == "site0":
            await trio.sleep_forever()

    names = [f"site{n}" for n in range(20)]
    sites = Sites(*names)
    sites.down = set(names)
    services.react = hang
    async with engine_on(sites.network) as engine:
        await add_sites(engine, names, [await add_channel(engine)])
        await trio.sleep(5)
    assert sorted(services.events()) == sorted((name, "down") for name in names[1:])


async def test_messages_that_hang_for_hours_hold_up_no_news(autojump_clock: MockClock, services: Services) -> None:
    async def hang(channel: Channel, message: Message) -> None:
        if named(message)[0] != "news":
            await trio.sleep(30)
            raise NotDelivered("The service did not answer within 30 seconds", retry=True)

    names = [f"site{n}" for n in range(20)]
    sites = Sites("news", *names)
    services.react = hang
    async with engine_on(sites.network) as engine:
        await add_sites(engine, ["news", *names], [await add_channel(engine)])
        await trio.sleep(5)
        sites.down = set(names)
        await trio.sleep(5 * 60)
        sites.down.add("news")
        await trio.sleep(40)
        assert services.events() == [("news", "down")], "as soon as one of the four tries ends"


async def test_what_is_sent_while_the_outbox_is_read_is_not_sent_again(
    autojump_clock: MockClock, services: Services
) -> None:
    class Late(MemoryStore):
        """It tells how things were when it was asked, as a database does that is written meanwhile."""

        async def due(self, channel: int, now_ms: int, *, one_each: bool, limit: int) -> Due:
            found = await super().due(channel, now_ms, one_each=one_each, limit=limit)
            await trio.sleep(0.3)
            return found

    async def take(channel: Channel, message: Message) -> None:
        await trio.sleep(0.2 if message.event == "monitor.down" else 1)

    names = [f"site{n}" for n in range(8)]
    sites = Sites(*names)
    services.react = take
    async with engine_on(sites.network, Late()) as engine:
        await add_sites(engine, names, [await add_channel(engine)])
        for down in (set(names), set[str]()):
            await trio.sleep(5)
            sites.down = down
        await trio.sleep(60)
    assert sorted(services.events()) == sorted((name, event) for name in names for event in ("down", "up"))


async def test_an_outage_of_many_is_told_to_people_in_few_messages(
    autojump_clock: MockClock, services: Services
) -> None:
    names = [f"site{n}" for n in range(100)]
    sites = Sites(*names)
    async with engine_on(sites.network) as engine:
        channels = [await add_channel(engine), await add_channel(engine, SLACK, name="people")]
        await add_sites(engine, names, channels)
        await trio.sleep(5)
        sites.down = set(names)
        await trio.sleep(60)
    people = [sent for sent in services.taken if sent.kind == "slack"]
    assert 1 <= len(people) <= 3
    assert people[0].at == pytest.approx(5, abs=1.1), "the first is told at once"
    assert all(later.at - sooner.at >= GROUP_EVERY_S for sooner, later in pairwise(people))
    told = [named(one) for sent in people for one in (sent.message.items or [sent.message])]
    assert sorted(told) == sorted((name, "down") for name in names)
    assert sum(sent.kind == "webhook" for sent in services.taken) == 100, "a program is told of each"


async def test_a_group_is_the_same_message_at_every_try_and_after_a_restart(
    autojump_clock: MockClock, services: Services
) -> None:
    names = [f"site{n}" for n in range(10)]
    sites, store = Sites(*names), MemoryStore()
    services.react = busy
    async with engine_on(sites.network, store) as engine:
        await add_sites(engine, names, [await add_channel(engine, SLACK)])
        await trio.sleep(5)
        sites.down = set(names[:5])
        await trio.sleep(60)
        sites.down = set(names)
        await trio.sleep(60)
    services.react = None
    async with engine_on(sites.network, store) as engine:
        await pause_all(engine)
        await trio.sleep(4 * HOUR)
    contents: dict[str, set[tuple[str, ...]]] = {}
    for sent in services.tried:
        items = tuple(one.key for one in sent.message.items or [sent.message])
        contents.setdefault(sent.message.key, set()).add(items)
    assert any(len(items) > 1 for said in contents.values() for items in said)
    assert all(len(said) == 1 for said in contents.values()), "a key says one thing"
    assert len([item for said in contents.values() for items in said for item in items]) == 10, "each is said once"
    assert sorted(services.events()) == sorted((name, "down") for name in names)


async def test_quiet_hours_are_kept_and_told_of_at_their_end(autojump_clock: MockClock, services: Services) -> None:
    start = datetime.fromtimestamp(EPOCH_MS / 1000, UTC)  # 22:13:20
    names = ["shop", "mail"]
    sites = Sites(*names)
    quiet = {"from": "22:20", "to": "06:00", "timezone": "UTC"}
    async with engine_on(sites.network) as engine:
        hook = await add_channel(engine, SLACK, quietHours=quiet, reminderEvery=3_600_000)
        for name in names:
            await engine.add(http(name, notifications={"channels": [hook]}))
        await trio.sleep(60)
        sites.down = {"shop"}
        await trio.sleep(100)
        assert services.events() == [("shop", "down")], "it is not yet late"
        await trio.sleep(1000)
        sites.down = {"mail"}
        await trio.sleep(2 * HOUR)
        assert len(services.tried) == 1
        await trio.sleep(6.5 * HOUR)
    summary = services.taken[1]
    ended = datetime.fromtimestamp(EPOCH_MS / 1000 + summary.at, UTC)
    assert (start.hour, ended.hour, ended.minute) == (22, 6, 0)
    told = sorted(named(item) for item in summary.message.items)
    assert told == [("mail", "down"), ("shop", "up")]
    assert services.events()[3:] == [("mail", "reminder")], "the next hour of the outage is told of"


async def test_changed_quiet_hours_hold_at_once(autojump_clock: MockClock, services: Services) -> None:
    sites = Sites("shop")
    async with engine_on(sites.network) as engine:
        hook = await add_channel(engine, quietHours={"from": "22:00", "to": "06:00"})
        await add_sites(engine, ["shop"], [hook])
        await trio.sleep(5)
        sites.down = {"shop"}
        await trio.sleep(60)
        assert services.tried == []
        await engine.channels.update(hook, {"quietHours": None})
        await trio.sleep(1)
        assert services.events() == [("shop", "down")]


async def test_a_store_that_fails_is_asked_again_and_no_result_is_lost(
    autojump_clock: MockClock, services: Services
) -> None:
    class Failing(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.failures = {"due": 3, "settle": 3}

        def _fail(self, method: str) -> None:
            self.failures[method] -= 1
            if self.failures[method] >= 0:
                raise StoreFailed("disk full")

        async def due(self, channel: int, now_ms: int, *, one_each: bool, limit: int) -> Due:
            self._fail("due")
            return await super().due(channel, now_ms, one_each=one_each, limit=limit)

        async def settle(self, tried: Tried) -> None:
            self._fail("settle")
            await super().settle(tried)

    sites = Sites("shop")
    sites.down = {"shop"}
    async with engine_on(sites.network, Failing()) as engine:
        hook = await add_channel(engine)
        await add_sites(engine, ["shop"], [hook])
        await trio.sleep(60)
        assert services.events() == [("shop", "down")], "sent once"
        _, (delivery,) = await engine.channels.deliveries(hook)
        assert delivery.state is State.SENT


async def test_what_fails_while_its_channel_is_disabled_is_given_up(
    autojump_clock: MockClock, services: Services
) -> None:
    async def fail_late(channel: Channel, message: Message) -> None:
        await trio.sleep(10)
        raise NotDelivered("busy", retry=True)

    sites = Sites("shop")
    sites.down = {"shop"}
    services.react = fail_late
    async with engine_on(sites.network) as engine:
        hook = await add_channel(engine)
        await add_sites(engine, ["shop"], [hook])
        await trio.sleep(5)
        await engine.channels.update(hook, {"enabled": False})
        await trio.sleep(60)
        _, (delivery,) = await engine.channels.deliveries(hook)
        assert (delivery.state, delivery.answer) == (State.FAILED, "The channel was disabled")
        assert len(services.tried) == 1


async def test_a_channel_may_go_while_its_message_is_being_stored(
    autojump_clock: MockClock, services: Services
) -> None:
    class Slow(MemoryStore):
        async def append(self, *batch: Any) -> None:
            await trio.sleep(2)
            await super().append(*batch)

    sites = Sites("shop")
    async with engine_on(sites.network, Slow()) as engine:
        gone, other = await add_channel(engine), await add_channel(engine, name="other")
        await add_sites(engine, ["shop"], [gone, other])
        await trio.sleep(10)
        sites.down = {"shop"}
        await trio.sleep(2.5)  # it was noticed, and is not stored yet
        await engine.channels.delete(gone)
        assert services.tried == []
        await trio.sleep(120)
        assert services.events() == [("shop", "down")]
        assert engine.statistics().crashes == []


@pytest.mark.parametrize("runs_already", [True, False])
async def test_a_channel_may_go_just_when_it_has_something_to_do(autojump_clock: MockClock, runs_already: bool) -> None:
    store, supervisor = MemoryStore(), Supervisor(virtual_utc_ms)
    config = parse_channel("webhook", {"url": "http://hook.example/"})
    entry = await store.add_channel(config, ChannelSettings(name="hook"), workspace=1, now_ms=0)
    channels = {entry.number: entry}
    async with Web() as web, trio.open_nursery() as nursery:
        dispatcher = Dispatcher(store, channels, web, supervisor, virtual_utc_ms)
        nursery.start_soon(dispatcher.run)
        await wait_all_tasks_blocked()
        if runs_already:
            dispatcher.wake([entry.number])
            await wait_all_tasks_blocked()
        dispatcher.wake([entry.number])
        del channels[entry.number]
        dispatcher.forget(entry.number)
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert list(supervisor.recent) == []


async def test_after_a_crash_of_the_dispatcher_alerts_are_sent_again(
    autojump_clock: MockClock, services: Services
) -> None:
    class Fragile(Dispatcher):
        def forget(self, channel: int) -> None:
            super().forget(channel)
            assert self._nursery is not None
            self._nursery.start_soon(self._crash)

        async def _crash(self) -> None:
            raise ZeroDivisionError

    store, supervisor = MemoryStore(), Supervisor(virtual_utc_ms)
    config = parse_channel("webhook", {"url": "http://hook.example/"})
    kept, gone = [
        await store.add_channel(config, ChannelSettings(name=name), workspace=1, now_ms=0) for name in ("kept", "gone")
    ]
    entry = await store.add(parse_monitor(http("shop"), min_interval_ms=1000), now_ms=0, push_id=None)
    async with Web() as web, trio.open_nursery() as nursery:
        dispatcher = Fragile(store, {one.number: one for one in (kept, gone)}, web, supervisor, virtual_utc_ms)
        nursery.start_soon(supervisor.keep, "dispatcher", dispatcher.run, FOR_EVER)
        await wait_all_tasks_blocked()
        dispatcher.wake([kept.number, gone.number])
        await wait_all_tasks_blocked()
        dispatcher.forget(gone.number)
        await trio.sleep(5)
        message = compose(Event.DOWN, key="k", at=0, entry=entry)
        await store.enqueue([NewDelivery(kept.number, entry.number, message)])
        dispatcher.wake([kept.number])
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert services.events() == [("shop", "down")]
    assert [crash.actor for crash in supervisor.recent] == ["dispatcher"]


async def test_nothing_is_kept_for_a_channel_that_is_disabled(autojump_clock: MockClock, services: Services) -> None:
    sites = Sites("shop")
    sites.down = {"shop"}
    async with engine_on(sites.network) as engine:
        hook = await add_channel(engine, enabled=False, reminderEvery=3_600_000)
        await engine.add(http("shop", notifications={"channels": [hook]}))
        await trio.sleep(1.5 * HOUR)
        assert await engine.channels.deliveries(hook) == (0, [])
        await engine.channels.update(hook, {"enabled": True})
        await trio.sleep(30)
        assert services.events() == [("shop", "reminder")], "it goes on with what holds now"
        sites.down = set()
        await trio.sleep(60)
        assert services.events() == [("shop", "reminder"), ("shop", "up")]


async def test_a_bug_in_one_channel_stops_no_other(autojump_clock: MockClock, services: Services) -> None:
    async def broken(channel: Channel, message: Message) -> None:
        if channel.kind == "slack":
            raise ZeroDivisionError

    sites = Sites("shop")
    sites.down = {"shop"}
    services.react = broken
    async with engine_on(sites.network) as engine:
        channels = [await add_channel(engine, SLACK, name="people"), await add_channel(engine, WEBHOOK)]
        await add_sites(engine, ["shop"], channels)
        await trio.sleep(600)
        assert services.events() == [("shop", "down")]
        assert {crash.actor for crash in engine.statistics().crashes} == {channels[0]}
        services.react = None
        await trio.sleep(60)
        assert services.events() == [("shop", "down")] * 2
