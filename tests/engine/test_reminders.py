"""What no heartbeat tells: that a monitor is still down, and that a certificate ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from peekaping.engine.actor import Runtime
from peekaping.engine.alerts.alerting import Alerting
from peekaping.engine.alerts.channels import parse_channel
from peekaping.engine.alerts.delivery import ChannelEntry, NewDelivery
from peekaping.engine.alerts.reminder import Reminder
from peekaping.engine.alerts.settings import ChannelSettings
from peekaping.engine.certificate import Certificate, SeenCertificate
from peekaping.engine.clock import DAY_MS
from peekaping.engine.engine import Engine
from peekaping.engine.memory import MemoryStore
from peekaping.engine.monitor import Notifications
from peekaping.engine.ports import StoreFailed
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.records import Entry, Heartbeat, Snapshot, State, Status

from .alert_services import Services, Sites, add_channel, named, services
from .scripted import EPOCH_MS, engine_on, http

__all__ = ["services"]
HOUR, DAY = 3600.0, 86_400.0
HOUR_MS = 3_600_000


class Outbox(MemoryStore):
    """Notes what is put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[NewDelivery]] = []
        self.fails = False
        self.meanwhile: Callable[[], None] = lambda: None

    async def enqueue(self, deliveries: Sequence[NewDelivery]) -> None:
        if self.fails:
            raise StoreFailed("disk full")
        await trio.lowlevel.checkpoint()
        self.batches.append(list(deliveries))
        self.meanwhile()

    @property
    def keys(self) -> list[str]:
        return [new.key for batch in self.batches for new in batch]


class Desk:
    """A reminder over monitors that never change, at a time that a test sets."""

    def __init__(self, count: int = 1, **settings: object) -> None:
        config = parse_channel("webhook", {"url": "http://hook.example/"})
        channel = ChannelEntry(1, 1, ChannelSettings(name="hook", **settings), config, 0, 0)  # type: ignore[arg-type]
        notifications = Notifications(channels=("channel-1",))
        self.runtimes: dict[int, Runtime] = {}
        for number in range(1, count + 1):
            monitor = HttpMonitor(name="shop", url="https://shop", interval=DAY_MS, notifications=notifications)
            last = Heartbeat(number, EPOCH_MS, Status.DOWN, "Connection refused")
            snapshot = Snapshot(Entry(number, monitor, 0, 0), State(Status.DOWN, Status.DOWN), last)
            self.runtimes[number] = Runtime(snapshot, None, check_now=False)  # type: ignore[arg-type]
        self.now_ms = EPOCH_MS
        self.outbox = Outbox()
        down_since = dict.fromkeys(self.runtimes, EPOCH_MS)
        self.alerting = Alerting({1: channel}, self.runtimes, down_since, lambda channels: None)
        self.reminder = Reminder(self.outbox, self.alerting, lambda: self.now_ms)


def quiet(start: str, end: str) -> dict[str, str]:
    return {"from": start, "to": end, "timezone": "UTC"}


async def push_monitor(engine: Engine, channel: str) -> str:
    """A monitor that costs a test of days nothing; gives its push id."""
    fields = {"type": "push", "name": "job", "interval": HOUR_MS, "notifications": {"channels": [channel]}}
    entry = (await engine.add(fields)).entry
    assert entry.push_id is not None
    return entry.push_id


async def test_an_outage_that_began_at_night_is_reminded_of_each_day(
    autojump_clock: MockClock, services: Services
) -> None:
    async with engine_on(Sites().network) as engine:  # it is 22:13
        hook = await add_channel(engine, quietHours=quiet("22:00", "07:00"), reminderEvery=DAY_MS)
        job = await push_monitor(engine, hook)
        await engine.push(job, status=Status.DOWN)
        await trio.sleep(3 * DAY)
    assert services.events() == [("job", "down"), ("job", "reminder"), ("job", "reminder")]
    hours = [(EPOCH_MS / 1000 + sent.at) % DAY / HOUR for sent in services.taken]
    assert hours == pytest.approx([7, 7, 7], abs=0.01), "when the quiet hours end"


async def test_of_the_reminders_of_a_night_the_last_is_told_in_the_morning(
    autojump_clock: MockClock, services: Services
) -> None:
    async with engine_on(Sites().network) as engine:
        hook = await add_channel(engine, quietHours=quiet("23:00", "07:00"), reminderEvery=HOUR_MS)
        await engine.push(await push_monitor(engine, hook), status=Status.DOWN)
        await trio.sleep(10 * HOUR)
    (_, morning, next_hour) = services.taken
    assert services.events() == [("job", "down"), ("job", "reminder"), ("job", "reminder")]
    assert (EPOCH_MS / 1000 + morning.at) % DAY / HOUR == pytest.approx(7, abs=0.01)
    assert morning.message.text.startswith("For 8 h 46 min")
    assert next_hour.at == pytest.approx(9 * HOUR, abs=11)


@pytest.mark.parametrize(("before", "after"), [(300_000, HOUR_MS), (HOUR_MS, 300_000)])
async def test_reminders_that_are_to_come_at_other_times_do_so_from_then_on(
    autojump_clock: MockClock, services: Services, before: int, after: int
) -> None:
    async with engine_on(Sites().network) as engine:
        hook = await add_channel(engine, reminderEvery=before)
        await engine.push(await push_monitor(engine, hook), status=Status.DOWN)
        await trio.sleep(5 * HOUR + 60)
        services.taken.clear()
        await engine.channels.update(hook, {"reminderEvery": after})
        await trio.sleep(3 * HOUR)
    times = [sent.at for sent in services.taken]
    steps = range(5 * HOUR_MS + after, 8 * HOUR_MS + 1, after)
    assert times == pytest.approx([step / 1000 for step in steps], abs=11)


async def test_after_a_restart_the_last_that_was_missed_is_told_and_the_next_are_on_time(
    autojump_clock: MockClock, services: Services
) -> None:
    sites, store = Sites("shop", "mail"), MemoryStore()
    sites.down = {"shop", "mail"}
    async with engine_on(sites.network, store) as engine:
        hook = await add_channel(engine, reminderEvery=HOUR_MS)
        for name in sites.down:
            await engine.add(http(name, notifications={"channels": [hook]}))
        await trio.sleep(60)
    assert sorted(services.events()) == [("mail", "down"), ("shop", "down")]
    went_down = services.taken[0].at
    services.taken.clear()
    await trio.sleep(5.5 * HOUR)
    async with engine_on(sites.network, store):
        restarted = trio.current_time()
        await trio.sleep(HOUR)
    for name in sites.down:
        missed, next_hour = (sent for sent in services.taken if named(sent.message) == (name, "reminder"))
        assert restarted < missed.at < restarted + 80, "once it was looked at"
        assert missed.message.text.startswith("For 5 h ")
        assert next_hour.at == pytest.approx(went_down + 6 * HOUR, abs=11)
    assert len(services.taken) == 4


async def test_a_site_that_came_back_while_the_server_was_off_is_not_said_to_be_down(
    autojump_clock: MockClock, services: Services
) -> None:
    sites, store = Sites("shop"), MemoryStore()
    sites.down = {"shop"}
    async with engine_on(sites.network, store) as engine:
        hook = await add_channel(engine, reminderEvery=HOUR_MS)
        await engine.add(http("shop", notifications={"channels": [hook]}))
        await trio.sleep(60)
    await trio.sleep(5.5 * HOUR)
    sites.down = set()
    async with engine_on(sites.network, store):
        await trio.sleep(2 * HOUR)
    assert services.events() == [("shop", "down"), ("shop", "up")]


async def test_what_could_not_be_stored_is_told_later_and_the_rest_not_again(autojump_clock: MockClock) -> None:
    desk = Desk(reminder_every=HOUR_MS)
    desk.now_ms += HOUR_MS
    desk.outbox.fails = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.reminder.run)
        await trio.sleep(60)
        assert desk.outbox.keys == []
        desk.outbox.fails = False
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert desk.outbox.keys == [f"monitor-1:monitor.reminder:{EPOCH_MS + HOUR_MS}:channel-1"]


async def test_a_look_at_many_monitors_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peekaping.engine.alerts.reminder.STEP_S", 0)
    desk, turns = Desk(50, reminder_every=HOUR_MS), 0
    for told in (50, 0):
        desk.now_ms = EPOCH_MS + HOUR_MS
        desk.outbox.batches.clear()
        turns = 0
        async with trio.open_nursery() as nursery:

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(other)
            await desk.reminder.look()
            nursery.cancel_scope.cancel()
        assert turns >= 50, "also where all were told"
        assert len(set(desk.outbox.keys)) == len(desk.outbox.keys) == told
    assert max(map(len, desk.outbox.batches), default=0) <= 1


async def test_monitors_may_go_and_come_up_during_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peekaping.engine.alerts.reminder.STEP_S", 0)
    desk = Desk(4, reminder_every=HOUR_MS)
    desk.now_ms += HOUR_MS

    def change() -> None:
        desk.runtimes.pop(3, None)
        desk.runtimes[4].last = Heartbeat(4, desk.now_ms, Status.UP, "OK")

    desk.outbox.meanwhile = change
    await desk.reminder.look()
    assert [key.partition(":")[0] for key in desk.outbox.keys] == ["monitor-1", "monitor-2"]


async def test_the_end_of_a_certificate_is_told_once_for_each_threshold() -> None:
    desk = Desk()
    runtime = desk.runtimes[1]
    certificate = Certificate("CN=shop", "CN=R11", ("shop",), EPOCH_MS, EPOCH_MS + 90 * DAY_MS, "ab" * 32, "1f")
    runtime.certificate = SeenCertificate(certificate, EPOCH_MS)
    for hour in range(24 * 92):
        desk.now_ms = EPOCH_MS + hour * HOUR_MS
        await desk.reminder.look()
    assert [key.split(":")[3] for key in desk.outbox.keys] == ["21", "14", "7", "1"]
    assert len(desk.reminder._in_outbox) == 1, "what holds no more is forgotten"

    desk.outbox.batches.clear()
    runtime.certificate = SeenCertificate(replace(certificate, fingerprint="cd" * 32), EPOCH_MS)
    desk.now_ms = EPOCH_MS + 85 * DAY_MS
    await desk.reminder.look()
    ((notice,),) = desk.outbox.batches
    assert notice.message.title == "The certificate of shop ends in 5 days", "another certificate"
    runtime.certificate = SeenCertificate(replace(certificate, fingerprint="ef" * 32), EPOCH_MS)
    runtime.entry = replace(runtime.entry, paused=True)
    await desk.reminder.look()
    assert len(desk.outbox.batches) == 1, "nobody looks at a paused monitor"
