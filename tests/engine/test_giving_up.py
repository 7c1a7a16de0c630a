"""When a message that cannot be sent is given up: a day after it was made, and never without a try that had a chance."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from peekaping.engine.alerts.channel import Channel, NotDelivered
from peekaping.engine.alerts.delivery import Delivery, State
from peekaping.engine.alerts.message import Message
from peekaping.engine.engine import Engine
from peekaping.engine.memory import MemoryStore
from peekaping.engine.records import Status

from .alert_services import Services, Sites, add_channel, services
from .scripted import engine_on, virtual_utc_ms

__all__ = ["services"]
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


async def busy(channel: Channel, message: Message) -> None:
    raise NotDelivered("The service answered 503", retry=True)


async def add_job(engine: Engine, channel: str, name: str = "job") -> str:
    """A monitor that says only what it is told to, and costs a test of days nothing; gives its push id."""
    fields = {"type": "push", "name": name, "interval": int(30 * DAY * 1000), "notifications": {"channels": [channel]}}
    entry = (await engine.add(fields)).entry
    assert entry.push_id is not None
    await engine.push(entry.push_id)
    return entry.push_id


async def all_of(engine: Engine, channel: str) -> list[Delivery]:
    """Oldest first."""
    return (await engine.channels.deliveries(channel, limit=10_000))[1][::-1]


async def waiting(engine: Engine, channel: str) -> list[Delivery]:
    return [one for one in await all_of(engine, channel) if one.state is State.WAITING]


def age_s(one: Delivery) -> float:
    return (virtual_utc_ms() - one.message.at) / 1000


async def test_what_waits_behind_a_dead_service_has_its_day_too_and_the_queue_does_not_grow(
    autojump_clock: MockClock, services: Services
) -> None:
    services.react = busy
    async with engine_on(Sites().network) as engine:
        hook = await add_channel(engine)
        job = await add_job(engine, hook)
        lengths = []
        for hour in range(4 * 24):
            await engine.push(job, status=Status.UP if hour % 2 else Status.DOWN)
            await trio.sleep(HOUR)
            lengths.append(len(await waiting(engine, hook)))
            assert all(age_s(one) <= DAY + 1.3 * HOUR for one in await waiting(engine, hook))
        assert max(lengths[48:]) <= 26
        given_up = [one for one in await all_of(engine, hook) if one.state is State.FAILED]
        assert len(given_up) >= 70
        assert {one.answer for one in given_up} == {"The service answered 503"}
        services.react = None
        await trio.sleep(2 * HOUR)
        assert await waiting(engine, hook) == []


async def test_what_waited_a_day_behind_a_message_of_its_monitor_ends_with_it(
    autojump_clock: MockClock, services: Services
) -> None:
    services.react = busy
    async with engine_on(Sites().network) as engine:
        hook = await add_channel(engine)
        job = await add_job(engine, hook)
        for status in (Status.DOWN, Status.UP, Status.DOWN, Status.UP):
            await engine.push(job, status=status)
            await trio.sleep(MINUTE)
        await trio.sleep(23 * HOUR)
        await engine.push(job, status=Status.DOWN)
        await trio.sleep(2 * HOUR)
        *old, young = await all_of(engine, hook)
        assert {one.state for one in old} == {State.FAILED}
        assert [one.tries > 0 for one in old] == [True, True, False, False], (
            "the second had an hour, and these behind it"
        )
        assert young.state is State.WAITING, "its day is not over"


async def test_after_days_without_a_server_a_message_has_an_hour(autojump_clock: MockClock, services: Services) -> None:
    store = MemoryStore()
    async with engine_on(Sites().network, store) as engine:
        hook = await add_channel(engine, quietHours={"from": "22:00", "to": "23:00"})  # it is 22:13
        await engine.push(await add_job(engine, hook), status=Status.DOWN)
    await trio.sleep(3 * DAY + HOUR)
    assert services.tried == []
    services.react = busy
    async with engine_on(Sites().network, store) as engine:
        await trio.sleep(10 * MINUTE)
        assert len(await waiting(engine, hook)) == 1, "the network may not be up yet"
        await trio.sleep(HOUR)
        assert [one.state for one in await all_of(engine, hook)] == [State.FAILED]
        tries = [sent.at for sent in services.tried]
        assert HOUR - 1 <= tries[-1] - tries[0] <= HOUR + 1


async def test_one_failing_try_after_a_start_ends_nothing_that_waited_meanwhile(
    autojump_clock: MockClock, services: Services
) -> None:
    store = MemoryStore()
    services.react = busy
    async with engine_on(Sites().network, store) as engine:
        hook = await add_channel(engine, quietHours={"from": "22:45", "to": "07:00"})  # it is 22:13
        jobs = [await add_job(engine, hook, f"job{n}") for n in range(6)]
        await engine.push(jobs[0], status=Status.DOWN)
        await trio.sleep(HOUR)
        assert services.tried != []
        for job in jobs[1:]:
            await engine.push(job, status=Status.DOWN)
        await engine.push(jobs[0], status=Status.UP)
        await trio.sleep(MINUTE)
    await trio.sleep(2 * DAY + 9 * HOUR)
    async with engine_on(Sites().network, store) as engine:
        await trio.sleep(2)  # by then the network is up
        services.react = None
        await trio.sleep(HOUR)
        told = [(f"job{n}", "down") for n in range(6)]
        assert sorted(services.events()) == sorted([*told, ("job0", "up")])


class SetClock:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return virtual_utc_ms() + self.ahead_ms


async def test_a_clock_that_leaps_ahead_takes_nothing_of_a_messages_day(
    autojump_clock: MockClock, services: Services
) -> None:
    clock = SetClock()
    services.react = busy
    async with Engine.open(network=Sites().network, utc_ms=clock) as engine:
        hook = await add_channel(engine)
        await engine.push(await add_job(engine, hook), status=Status.DOWN)
        await trio.sleep(5)
        clock.ahead_ms = int(2 * DAY * 1000)
        await trio.sleep(22 * HOUR)
        services.react = None
        await trio.sleep(1.3 * HOUR)
        assert services.events() == [("job", "down")]


async def test_a_clock_that_is_set_back_silences_no_monitor(autojump_clock: MockClock, services: Services) -> None:
    clock = SetClock()
    clock.ahead_ms = int(30 * DAY * 1000)
    services.react = busy
    async with Engine.open(network=Sites().network, utc_ms=clock) as engine:
        hook = await add_channel(engine)
        job = await add_job(engine, hook)
        await engine.push(job, status=Status.DOWN)
        await trio.sleep(5)
        clock.ahead_ms = 0
        await trio.sleep(5 * MINUTE)
        assert len(services.tried) < 15, "it has its waits all the same"
        services.react = None
        await trio.sleep(10 * MINUTE)  # its waits double, so the next one is as long as all before
        await engine.push(job, status=Status.UP)
        await trio.sleep(1)
        assert services.events() == [("job", "down"), ("job", "up")]


async def test_what_was_held_back_by_a_long_night_is_tried(autojump_clock: MockClock, services: Services) -> None:
    async with engine_on(Sites().network) as engine:
        hook = await add_channel(engine, quietHours={"from": "22:13", "to": "22:12"})  # it is 22:13
        await engine.push(await add_job(engine, hook), status=Status.DOWN)
        await trio.sleep(23 * HOUR)
        assert services.tried == []
        await trio.sleep(HOUR)
        assert services.events() == [("job", "down")]


async def test_what_is_sent_again_on_request_has_a_new_day(autojump_clock: MockClock, services: Services) -> None:
    services.react = busy
    async with engine_on(Sites().network) as engine:
        hook = await add_channel(engine)
        await engine.push(await add_job(engine, hook), status=Status.DOWN)
        await trio.sleep(2 * DAY)
        (given_up,) = await all_of(engine, hook)
        assert given_up.state is State.FAILED
        await engine.channels.redeliver(hook, given_up.id)
        await trio.sleep(20 * HOUR)
        assert len(await waiting(engine, hook)) == 1
        services.react = None
        await trio.sleep(2 * HOUR)
        assert [one.state for one in await all_of(engine, hook)] == [State.SENT]
        assert {sent.message.key for sent in services.tried} == {given_up.key}
