"""The three channels and what reads them: overflow, batching, a failing store, slow subscribers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from peekaping.engine.alerts.alerting import Alerting
from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.certificate import Certificate
from peekaping.engine.hub import PATIENCE_S, SUBSCRIBER_CAPACITY, Hub, Lagged, Subscription
from peekaping.engine.memory import MemoryStore
from peekaping.engine.outlets import Outlet, Outlets
from peekaping.engine.ports import StoreFailed
from peekaping.engine.probes.push import PushMonitor
from peekaping.engine.records import Heartbeat, Status
from peekaping.engine.writer import COMMIT_EVERY_S, LARGEST_BATCH, Writer

MONITOR = PushMonitor(name="job")


SILENT = Alerting({}, {}, {}, lambda channels: None)


def beat(at: int, *, transition: bool = False, monitor: int = 1) -> Heartbeat:
    return Heartbeat(monitor, at, Status.UP, "OK", transition=transition)


@given(st.integers(1, 50), st.lists(st.booleans(), max_size=200))
def test_a_full_channel_gives_up_its_oldest_plain_heartbeats(capacity: int, transitions: list[bool]) -> None:
    outlet = Outlet(capacity)
    offered = [beat(at, transition=transition) for at, transition in enumerate(transitions)]
    for heartbeat in offered:
        outlet.offer(heartbeat)
    kept = list(outlet.drain(capacity))
    assert len(kept) + outlet.dropped == len(offered)
    assert kept == sorted(kept, key=lambda heartbeat: heartbeat.at)
    if sum(transitions) <= capacity:
        assert [heartbeat for heartbeat in kept if heartbeat.transition] == [h for h in offered if h.transition]
    dropped = [heartbeat.at for heartbeat in offered if heartbeat not in kept]
    assert all(at < heartbeat.at for at in dropped for heartbeat in kept if not heartbeat.transition), (
        "the oldest go first"
    )


def test_a_certificate_is_said_once_and_so_it_is_kept() -> None:
    outlet = Outlet(16)
    outlet.offer(msgspec.structs.replace(beat(0), certificate=Certificate("CN=x", "CN=ca", (), 0, 1, "f", "1")))
    for at in range(1, 100):
        outlet.offer(beat(at))
    assert next(outlet.drain(1)).at == 0


class Recording(MemoryStore):
    """Notes when batches arrive; fails or stalls when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[float, int]] = []
        self.fails_until = 0.0

    async def append(self, heartbeats: Sequence[Heartbeat], deliveries: Sequence[NewDelivery] = ()) -> None:
        if trio.current_time() < self.fails_until:
            raise StoreFailed("disk full")
        await super().append(heartbeats, deliveries)
        self.batches.append((trio.current_time(), len(heartbeats)))


async def test_heartbeats_are_committed_together_within_the_commit_rhythm(autojump_clock: MockClock) -> None:
    store, outlet = Recording(), Outlet(1000)
    writer = Writer(store, outlet, SILENT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await trio.sleep(10)
        for number in range(100):
            outlet.offer(beat(number))
            await trio.sleep(0.001)
        await trio.sleep(1)
        ((at, count),) = store.batches
        assert (round(at - 10, 6), count) == (COMMIT_EVERY_S, 100)
        nursery.cancel_scope.cancel()


async def test_a_transition_is_committed_at_once(autojump_clock: MockClock) -> None:
    store, outlet = Recording(), Outlet(1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Writer(store, outlet, SILENT).run)
        await wait_all_tasks_blocked()
        outlet.offer(beat(1))
        await trio.sleep(0.1)
        outlet.offer(beat(2, transition=True))
        await wait_all_tasks_blocked()
        ((at, count),) = store.batches
        assert (round(at, 6), count) == (0.1, 2)
        nursery.cancel_scope.cancel()


async def test_flushing_waits_for_everything_offered_before(autojump_clock: MockClock) -> None:
    store, outlet = Recording(), Outlet(100_000)
    writer = Writer(store, outlet, SILENT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await wait_all_tasks_blocked()
        for at in range(3 * LARGEST_BATCH):
            outlet.offer(beat(at))
        await writer.flush()
        assert sum(count for _, count in store.batches) == 3 * LARGEST_BATCH
        assert writer.backlog == 0
        await writer.flush()
        nursery.cancel_scope.cancel()


async def test_a_store_that_fails_for_a_while_loses_nothing(autojump_clock: MockClock) -> None:
    store, outlet = Recording(), Outlet(1000)
    await store.add(MONITOR, now_ms=0, push_id=None)
    store.fails_until = 30
    writer = Writer(store, outlet, SILENT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        for at in range(100):
            outlet.offer(beat(at))
            await trio.sleep(0.2)
        assert "disk full" in str(writer.failing)
        assert writer.backlog == 100
        await trio.sleep(20)
        assert not writer.failing
        assert len(await store.heartbeats(1, limit=1000)) == 100
        nursery.cancel_scope.cancel()


async def test_a_crash_in_mid_commit_loses_nothing(autojump_clock: MockClock) -> None:
    store, outlet = Recording(), Outlet(1000)
    await store.add(MONITOR, now_ms=0, push_id=None)
    writer = Writer(store, outlet, SILENT)
    for at in range(10):
        outlet.offer(beat(at))
    writer._store = Crashing()
    with pytest.raises(ZeroDivisionError):
        await writer.run()
    writer._store = store
    await writer.finish()
    assert len(await store.heartbeats(1, limit=100)) == 10


class Crashing(MemoryStore):
    async def append(self, heartbeats: Sequence[Heartbeat], deliveries: Sequence[NewDelivery] = ()) -> None:
        raise ZeroDivisionError


async def test_subscribers_get_what_they_asked_for(autojump_clock: MockClock) -> None:
    outlets = Outlets()
    hub = Hub(outlets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        with Subscription(hub, None) as everything, Subscription(hub, {2}) as second:
            for monitor in (1, 2, 3):
                outlets.offer(beat(monitor, monitor=monitor))
            assert [(await anext(everything)) for _ in range(3)] == [beat(n, monitor=n) for n in (1, 2, 3)]
            assert await anext(second) == beat(2, monitor=2)
        assert not hub.subscriptions
        outlets.offer(beat(4))
        assert not outlets.hub.waiting, "the hub is not woken for nobody"
        nursery.cancel_scope.cancel()


async def test_a_slow_subscriber_is_told_what_it_missed_and_slows_nobody(autojump_clock: MockClock) -> None:
    outlets = Outlets()
    hub = Hub(outlets)
    extra = 500
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        with Subscription(hub, None) as slow, Subscription(hub, None) as quick:
            read = 0
            for at in range(SUBSCRIBER_CAPACITY + extra):
                outlets.offer(beat(at))
                if at % 100 == 99:
                    await trio.sleep(0.1)
                    for _ in range(100):
                        assert isinstance(await anext(quick), Heartbeat)
                        read += 1
            assert read == SUBSCRIBER_CAPACITY + extra
            for at in range(SUBSCRIBER_CAPACITY):
                assert await anext(slow) == beat(at)
            outlets.offer(beat(10_000))
            assert await anext(slow) == Lagged(dropped=extra)
            assert await anext(slow) == beat(10_000)
        nursery.cancel_scope.cancel()


async def test_a_subscriber_that_stays_stuck_is_cut_off(autojump_clock: MockClock) -> None:
    outlets = Outlets()
    hub = Hub(outlets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        with Subscription(hub, None) as stuck:
            for at in range(SUBSCRIBER_CAPACITY + 10):
                outlets.offer(beat(at))
            await trio.sleep(PATIENCE_S + 1)
            outlets.offer(beat(99_999))
            await trio.sleep(1)
            assert stuck not in hub.subscriptions
            assert len([item async for item in stuck]) == SUBSCRIBER_CAPACITY
        nursery.cancel_scope.cancel()


async def test_a_subscriber_that_takes_an_item_now_and_then_is_cut_off_too(autojump_clock: MockClock) -> None:
    outlets = Outlets()
    hub = Hub(outlets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        with Subscription(hub, None) as slow:
            for at in range(SUBSCRIBER_CAPACITY):
                outlets.offer(beat(at))
            began = trio.current_time()
            with trio.fail_after(2 * PATIENCE_S):
                while slow in hub.subscriptions:
                    outlets.offer(beat(10_000))
                    outlets.offer(beat(10_001))
                    await trio.sleep(1)
                    await anext(slow)
            assert trio.current_time() - began == pytest.approx(PATIENCE_S, abs=2)
        nursery.cancel_scope.cancel()


async def test_a_subscriber_that_catches_up_has_all_its_time_again(autojump_clock: MockClock) -> None:
    outlets = Outlets()
    hub = Hub(outlets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        with Subscription(hub, {1}) as burst:
            for _ in range(3):
                for at in range(SUBSCRIBER_CAPACITY + 10):
                    outlets.offer(beat(at))
                await trio.sleep(PATIENCE_S - 1)
                for _ in range(SUBSCRIBER_CAPACITY):
                    await anext(burst)
                outlets.offer(beat(0, monitor=2))  # nothing that it is told of, not even what it missed
                await trio.sleep(2)
            assert burst in hub.subscriptions
        nursery.cancel_scope.cancel()
