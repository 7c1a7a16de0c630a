"""Whom an engine tells what: every transition, and what else was asked for, to the channels of its monitor."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from peekaping.engine.alerts.alerting import CHUNK, Alerting
from peekaping.engine.alerts.channel import Channel, NotDelivered
from peekaping.engine.alerts.delivery import State
from peekaping.engine.alerts.message import Message, Severity
from peekaping.engine.errors import Invalid, NameTaken, NoSuchChannel
from peekaping.engine.memory import MemoryStore
from peekaping.engine.ports import StoreFailed
from peekaping.engine.records import Heartbeat, Status

from .alert_services import ABOUT_MONITORS, SLACK, WEBHOOK, Services, Sites, add_channel, add_sites, services
from .scripted import EPOCH_MS, engine_on, http

__all__ = ["services"]
MINUTE = 60_000


async def test_going_down_and_coming_back_are_told_once_each(autojump_clock: MockClock, services: Services) -> None:
    sites = Sites("shop")
    async with engine_on(sites.network) as engine:
        await add_sites(engine, ["shop"], [await add_channel(engine)])
        await trio.sleep(60)
        assert services.events() == [], "a new monitor's first up is no event"
        sites.down = {"shop"}
        await trio.sleep(60)
        assert services.events() == [("shop", "down")]
        sites.down = set()
        await trio.sleep(60)
        assert services.events() == [("shop", "down"), ("shop", "up")]
        assert services.taken[0].at == pytest.approx(60, abs=1.1), "at once"
        assert services.taken[1].message.text == "OK, after 1 min"


async def test_a_monitor_that_begins_down_is_told_of_and_so_is_its_recovery(
    autojump_clock: MockClock, services: Services
) -> None:
    sites = Sites("shop")
    sites.down = {"shop"}
    async with engine_on(sites.network) as engine:
        await add_sites(engine, ["shop"], [await add_channel(engine)])
        await trio.sleep(5)
        sites.down = set()
        await trio.sleep(5)
    assert services.events() == [("shop", "down"), ("shop", "up")]


async def test_nobody_is_told_who_did_not_ask(autojump_clock: MockClock, services: Services) -> None:
    sites = Sites("shop", "mail", "wiki")
    async with engine_on(sites.network) as engine:
        hook, off = await add_channel(engine), await add_channel(engine, name="off", enabled=False)
        (muted,) = await add_sites(engine, ["shop"], [hook])
        await engine.update(muted, {"notifications": {"enabled": False, "channels": [hook]}})
        await add_sites(engine, ["mail"], [])
        await add_sites(engine, ["wiki"], [off])
        sites.down = {"shop", "mail", "wiki"}
        await trio.sleep(10)
        assert services.tried == []
        assert await engine.channels.deliveries(hook) == (0, [])


async def test_channels_are_named_by_id_or_by_name(autojump_clock: MockClock, services: Services) -> None:
    async with engine_on(Sites("shop").network) as engine:
        first, second = await add_channel(engine, name="on call"), await add_channel(engine, name="ops")
        fields = http("shop", notifications={"enabled": True, "channels": ["ops", first, "on call"]})
        added = await engine.add(fields)
        assert added.entry.monitor.notifications.channels == (second, first)
        with pytest.raises(Invalid) as refused:
            await engine.add({**fields, "retries": -1, "notifications": {"channels": ["channel-9", "nobody"]}})
        assert refused.value.errors == {
            "retries": ["Retries must be between 0 and 1000"],
            "notifications": ["Notifications name channels that do not exist: channel-9, nobody"],
        }
        with pytest.raises(Invalid):
            await engine.update(added.entry.id, {"notifications": {"channels": ["Ops"]}})
        with pytest.raises(Invalid):
            await engine.add(fields, workspace=2)


async def test_another_workspace_has_channels_of_its_own(autojump_clock: MockClock, services: Services) -> None:
    async with engine_on(Sites("shop").network) as engine:
        mine = await engine.channels.add({**WEBHOOK, "name": "ops"})
        theirs = await engine.channels.add({**WEBHOOK, "name": "ops"}, 2)
        with pytest.raises(NameTaken):
            await engine.channels.add({**WEBHOOK, "name": "ops"})
        with pytest.raises(NameTaken):
            await engine.channels.update((await engine.channels.add({**WEBHOOK, "name": "b"})).id, {"name": "ops"})
        assert engine.channels.all(2) == [theirs]
        for wrong in (theirs.id, "channel-99", "monitor-1", "channel-x"):
            with pytest.raises(NoSuchChannel):
                engine.channels.get(wrong)
            with pytest.raises(NoSuchChannel):
                await engine.channels.delete(wrong)
        added = await engine.add(http("shop", notifications={"channels": ["ops"]}), workspace=2)
        assert added.entry.monitor.notifications.channels == (theirs.id,)
        assert mine.id != theirs.id


async def test_a_recovery_passes_where_the_failure_did(autojump_clock: MockClock, services: Services) -> None:
    sites = Sites("shop")
    async with engine_on(sites.network) as engine:
        events = ["monitor.down", "monitor.up", "monitor.updated"]
        strict = {**WEBHOOK, "config": {"url": "http://hook.example/", "events": events}}
        (id,) = await add_sites(engine, ["shop"], [await add_channel(engine, strict, minSeverity="critical")])
        await trio.sleep(5)
        await engine.update(id, {"maxRedirects": 5})
        sites.down = {"shop"}
        await trio.sleep(5)
        sites.down = set()
        await trio.sleep(5)
    assert services.events() == [("shop", "down"), ("shop", "up")], "a change is not critical"


async def test_changes_of_monitors_are_told_to_the_webhooks_that_list_them(
    autojump_clock: MockClock, services: Services
) -> None:
    async with engine_on(Sites("shop").network) as engine:
        config = {"url": "http://hook.example/", "events": ABOUT_MONITORS}
        await add_channel(engine, {"type": "webhook", "config": config}, name="changes")
        await add_channel(engine, name="not asked")
        await add_channel(engine, SLACK, name="people")
        (id,) = await add_sites(engine, ["shop"], [])
        for _ in range(3):
            await engine.update(id, {"name": "store"})  # which it is after the first
            await trio.sleep(1)
        await engine.add(http("shop"), workspace=2)
        await engine.delete(id)
        await trio.sleep(30)
    assert services.events() == [("shop", "created"), ("store", "updated"), ("store", "deleted")]


async def test_what_is_pushed_is_told_to_the_webhooks_that_list_it(
    autojump_clock: MockClock, services: Services
) -> None:
    config = {"url": "http://hook.example/", "events": ["heartbeat.received"]}
    async with engine_on(Sites().network) as engine:
        hook = await add_channel(engine, {"type": "webhook", "config": config})
        push = {"type": "push", "name": "job", "interval": 60_000, "notifications": {"channels": [hook]}}
        entry = (await engine.add(push)).entry
        assert entry.push_id is not None
        await engine.push(entry.push_id, message="17 files", response_ms=12)
        await trio.sleep(300)  # silence is no heartbeat
    ((_, _, message),) = services.taken
    assert message.event == "heartbeat.received"
    assert message.heartbeat is not None
    assert (message.heartbeat.message, message.heartbeat.response_ms) == ("17 files", 12)


async def test_what_no_json_can_hold_is_told_without_it(autojump_clock: MockClock, services: Services) -> None:
    async with engine_on(Sites().network) as engine:
        notifications = {"channels": [await add_channel(engine)]}
        push = {"type": "push", "name": "job", "interval": 60_000, "notifications": notifications}
        entry = (await engine.add(push)).entry
        assert entry.push_id is not None
        await engine.push(entry.push_id, status=Status.DOWN, message="half \ud800 a pair")
        await trio.sleep(5)
    assert [sent.message.text for sent in services.taken] == ["half ? a pair"]


async def test_it_is_told_that_a_monitor_is_still_down(autojump_clock: MockClock, services: Services) -> None:
    sites = Sites("shop")
    sites.down = {"shop"}
    store = MemoryStore()
    async with engine_on(sites.network, store) as engine:
        hook = await add_channel(engine, reminderEvery=5 * MINUTE)
        (id,) = await add_sites(engine, ["shop"], [hook, await add_channel(engine, name="down only")])
        await trio.sleep(11 * 60)
        told = [("shop", "down")] * 2 + [("shop", "reminder")] * 2
        assert services.events() == told
        assert services.taken[-1].message.text.startswith("For 10 min")
        await engine.pause(id)
        await trio.sleep(20 * 60)
        assert services.events() == told, "nobody looks at a paused monitor"
    async with engine_on(sites.network, store) as engine:
        await engine.resume(id)
        await trio.sleep(30)
        assert services.events() == [*told, ("shop", "reminder")], "one for all that were missed"
        sites.down = set()
        await trio.sleep(20 * 60)
    assert services.events() == [*told, ("shop", "reminder"), ("shop", "up"), ("shop", "up")]


async def test_a_restart_tells_nothing_twice(autojump_clock: MockClock, services: Services) -> None:
    sites, store = Sites("shop"), MemoryStore()
    sites.down = {"shop"}
    async with engine_on(sites.network, store) as engine:
        await add_sites(engine, ["shop"], [await add_channel(engine, reminderEvery=MINUTE)])
        await trio.sleep(70)
    for _ in range(3):
        async with engine_on(sites.network, store):
            await trio.sleep(5)
    assert services.events() == [("shop", "down"), ("shop", "reminder")]
    sites.down = set()
    async with engine_on(sites.network, store):
        await trio.sleep(5)
    assert services.events()[2:] == [("shop", "up")]


async def test_what_could_not_be_sent_before_a_stop_is_sent_after_the_start(
    autojump_clock: MockClock, services: Services
) -> None:
    async def hang(channel: Channel, message: Message) -> None:
        await trio.sleep_forever()

    sites, store = Sites("shop"), MemoryStore()
    sites.down = {"shop"}
    services.react = hang
    async with engine_on(sites.network, store) as engine:
        await add_sites(engine, ["shop"], [await add_channel(engine)])
        await trio.sleep(10)
    assert services.taken == []
    services.react = None
    async with engine_on(sites.network, store):
        await trio.sleep(10)
    assert services.events() == [("shop", "down")]
    assert len({sent.message.key for sent in services.tried}) == 1


async def test_a_store_that_fails_delays_an_alert_and_repeats_none(
    autojump_clock: MockClock, services: Services
) -> None:
    class Failing(MemoryStore):
        fails = False

        async def append(self, *batch: object) -> None:
            if self.fails:
                raise StoreFailed("disk full")
            await super().append(*batch)  # type: ignore[arg-type]

    sites, store = Sites("shop"), Failing()
    async with engine_on(sites.network, store) as engine:
        await add_sites(engine, ["shop"], [await add_channel(engine)])
        await trio.sleep(10)
        store.fails = True
        sites.down = {"shop"}
        await trio.sleep(30)
        assert services.tried == [], "a transition that is not stored may be judged anew after a crash"
        store.fails = False
        await trio.sleep(30)
    assert services.events() == [("shop", "down")]


async def test_however_much_goes_down_at_once_others_have_their_turns() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    down = [Heartbeat(number, EPOCH_MS, Status.DOWN, "Refused", transition=True) for number in range(50 * CHUNK)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        await Alerting({}, {}, {}, lambda channels: None).plan(down)
        nursery.cancel_scope.cancel()
    assert turns > 40


async def test_a_removed_channel_is_told_nothing_and_named_by_no_monitor(
    autojump_clock: MockClock, services: Services
) -> None:
    async def refuse(channel: Channel, message: Message) -> None:
        raise NotDelivered("busy", retry=True)

    sites, store = Sites("shop"), MemoryStore()
    async with engine_on(sites.network, store) as engine:
        gone, other = await add_channel(engine), await add_channel(engine, name="other")
        (id,) = await add_sites(engine, ["shop"], [gone, other])
        await trio.sleep(5)
        services.react = refuse
        sites.down = {"shop"}
        await trio.sleep(5)
        checks = len(sites.network.times("shop"))
        await engine.channels.delete(gone)
        assert engine.get(id).entry.monitor.notifications.channels == (other,)
        services.react = None
        services.tried.clear()
        await trio.sleep(60)
        assert len(sites.network.times("shop")) - checks == pytest.approx(60, abs=1), "checks go on as they were"
        assert services.events() == [("shop", "down")]
        with pytest.raises(NoSuchChannel):
            engine.channels.get(gone)
    async with engine_on(sites.network, store) as engine:
        assert engine.get(id).entry.monitor.notifications.channels == (other,)


async def test_disabling_a_channel_gives_up_what_waits_for_it(autojump_clock: MockClock, services: Services) -> None:
    async def refuse(channel: Channel, message: Message) -> None:
        raise NotDelivered("busy", retry=True)

    sites = Sites("shop")
    sites.down = {"shop"}
    services.react = refuse
    async with engine_on(sites.network) as engine:
        hook = await add_channel(engine)
        await add_sites(engine, ["shop"], [hook])
        await trio.sleep(5)
        await engine.channels.update(hook, {"enabled": False})
        services.react = None
        await trio.sleep(100)
        assert services.taken == []
        _, (delivery,) = await engine.channels.deliveries(hook)
        assert (delivery.state, delivery.answer) == (State.FAILED, "The channel was disabled")
        with pytest.raises(Invalid):
            await engine.channels.redeliver(hook, delivery.id)
        await engine.channels.update(hook, {"enabled": True})
        await engine.channels.redeliver(hook, delivery.id)
        await trio.sleep(1)
        assert [sent.message.key for sent in services.taken] == [delivery.key]


async def test_a_channel_is_changed_field_by_field(autojump_clock: MockClock, services: Services) -> None:
    async with engine_on(Sites().network) as engine:
        hook = await add_channel(engine, {"type": "webhook", "config": {"url": "http://a.example/", "secret": "s3"}})
        changed = await engine.channels.update(hook, {"minSeverity": "warning", "config": {"secret": "********"}})
        assert changed.settings.min_severity is Severity.WARNING
        assert changed.settings.name == "hook"
        assert replace(changed.channel, events=()) == replace(engine.channels.get(hook).channel, events=())
        assert getattr(changed.channel, "secret", None) == "s3"
        with pytest.raises(Invalid) as refused:
            await engine.channels.update(hook, {"type": "slack"})
        assert set(refused.value.errors) == {"type"}
        with pytest.raises(Invalid) as refused:
            await engine.channels.update(hook, {"name": "channel-1", "colour": "red", "config": {"url": "ftp://x"}})
        assert set(refused.value.errors) == {"name", "colour", "config.url", "config.secret"}, "it goes nowhere else"
        with pytest.raises(Invalid) as refused:
            await engine.channels.add({"config": 3, "quietHours": {"from": "22:00", "to": "22:00"}})
        assert set(refused.value.errors) == {"type", "config", "name", "quietHours"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", "x" * 101),
        ("name", "channel-7"),
        ("enabled", "yes"),
        ("minSeverity", "loud"),
        ("reminderEvery", 59_999),
        ("reminderEvery", 8 * 86_400_000),
        ("certificateDays", [-1]),
        ("certificateDays", list(range(11))),
        ("quietHours", {"from": "22:00"}),
        ("quietHours", {"from": "24:00", "to": "07:00"}),
        ("quietHours", {"from": "22:00", "to": "22:00"}),
        ("quietHours", {"from": "22:00", "to": "07:00", "days": []}),
        *(
            ("quietHours", {"from": "22:00", "to": "07:00", "timezone": zone})
            for zone in (
                "",
                "Mars/Base",
                "Europe",
                "../etc/passwd",
                "/etc/passwd",
                "x" * 300,
                "a\0b",
                "Europe/Berlin ",
            )
        ),
    ],
)
async def test_a_setting_that_cannot_be_is_refused(autojump_clock: MockClock, field: str, value: object) -> None:
    async with engine_on(Sites().network) as engine:
        with pytest.raises(Invalid) as refused:
            await engine.channels.add({**WEBHOOK, "name": "hook", field: value})
        assert set(refused.value.errors) == {field}
        assert engine.channels.all() == []


async def test_a_test_says_what_the_service_said(autojump_clock: MockClock, services: Services) -> None:
    async def refuse(channel: Channel, message: Message) -> None:
        raise NotDelivered("The service answered 403", retry=False)

    async with engine_on(Sites().network) as engine:
        hook = await add_channel(engine)
        assert await engine.channels.test(hook) == (True, "200 OK")
        services.react = refuse
        assert await engine.channels.test(hook) == (False, "The service answered 403")
        assert len({sent.message.key for sent in services.tried}) == 2
        assert await engine.channels.deliveries(hook) == (0, [])
    assert services.tried[0].message.at >= EPOCH_MS
