"""The engine as a whole, on virtual time: days pass in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.check import Counters, Services, probe_within
from peekaping.engine.engine import Engine
from peekaping.engine.errors import Invalid, NoSuchMonitor, Stopped
from peekaping.engine.memory import MemoryStore
from peekaping.engine.monitor import fields_of
from peekaping.engine.net.trace import WAIT, Trace
from peekaping.engine.outlets import Outlets
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.probes.probe import Probe
from peekaping.engine.records import Entry, Heartbeat, Outcome, State, Status
from peekaping.engine.schedule import until_slot_ms
from peekaping.engine.timekeeper import Alarm, Timekeeper
from peekaping.engine.verdict import LOST_PATIENCE

from .scripted import EPOCH_MS, FAILING, OK, REFUSED, ScriptedNetwork, collect, engine_on, http, virtual_utc_ms

UP, DOWN, PENDING, UNKNOWN, PAUSED = Status.UP, Status.DOWN, Status.PENDING, Status.UNKNOWN, Status.PAUSED
DAY_S = 86_400


async def test_a_new_monitor_is_checked_at_once_and_then_once_an_interval(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        await engine.add(http(interval=60_000))
        await trio.sleep(DAY_S)
    times = network.times("site")
    assert times[0] < 0.001
    assert 0 < times[1] - times[0] <= 60, "the second check is in the monitor's slot"
    gaps = [later - earlier for earlier, later in pairwise(times[1:])]
    assert gaps == pytest.approx([60] * len(gaps), abs=0.001)
    assert len(times) == pytest.approx(1440, abs=2)


@pytest.mark.parametrize("interval_s", [60, DAY_S])
async def test_a_thousand_monitors_are_spread_over_the_first_minute_at_a_start(
    autojump_clock: MockClock, interval_s: int
) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(), store) as engine:
        for _ in range(1000):
            await engine.pause((await engine.add(http(interval=interval_s * 1000))).entry.id)
    network = ScriptedNetwork(site=lambda: [OK])
    for snapshot in await store.load():
        entry = snapshot.entry
        await store.replace(type(entry)(entry.number, entry.monitor, entry.created_ms, entry.updated_ms, paused=False))
    began = trio.current_time()
    async with engine_on(network, store):
        await trio.sleep(59.999)
    times = sorted(time - began for time in network.times("site"))
    assert len(times) == 1000, "each was checked once"
    a_second_each = [sum(second <= time < second + 1 for time in times) for second in range(60)]
    assert max(a_second_each) <= 2 * 1000 / 60, "and no second had twice its share"


async def test_an_outage_is_pending_for_the_retries_then_down_and_up_again(autojump_clock: MockClock) -> None:
    broken = False
    network = ScriptedNetwork(site=lambda: [FAILING] if broken else [OK])
    async with engine_on(network) as engine:
        entry = (await engine.add(http(interval=60_000, retries=2, retryInterval=10_000))).entry
        beats = await collect(engine, 1)
        broken = True
        beats += await collect(engine, 4)
        broken = False
        beats += await collect(engine, 1)
        assert [beat.status for beat in beats] == [UP, PENDING, PENDING, DOWN, DOWN, UP]
        assert [beat.transition for beat in beats] == [True, False, False, True, False, True]
        assert [beat.previous for beat in beats] == [PENDING, UP, PENDING, PENDING, DOWN, DOWN]
        # Retries come after the retry interval, and when it is certain the rhythm is the interval's again.
        assert beats[2].at - beats[1].at == pytest.approx(10_000, abs=2)
        assert beats[3].at - beats[2].at == pytest.approx(10_000, abs=2)
        assert (beats[4].at - beats[1].at) % 60_000 == pytest.approx(0, abs=2)
        assert engine.get(entry.id).state.status is UP
        await trio.sleep(1)
        assert await engine.heartbeats(entry.id) == [as_stored(beat) for beat in reversed(beats)]


def as_stored(beat: Heartbeat) -> Heartbeat:
    """What a store gives back: without what it does not keep."""
    return Heartbeat(
        beat.monitor, beat.at, beat.status, beat.message, beat.reason, beat.response_ms, beat.status_code,
        transition=beat.transition, is_check=beat.is_check,
    )  # fmt: skip


async def test_a_target_that_never_answers_is_down_and_keeps_being_checked(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [float("inf")])
    async with engine_on(network) as engine:
        await engine.add(http(interval=30_000, timeout=30_000))
        beats = await collect(engine, 20)
    assert {(beat.status, beat.reason) for beat in beats} == {(DOWN, "timeout")}
    assert "Timeout after 30 s while waiting for the answer" in beats[0].message
    times = network.times("site")
    assert all(later - earlier <= 60.01 for earlier, later in pairwise(times))
    gaps = [later - earlier for earlier, later in pairwise(times[1:])]
    assert gaps == pytest.approx([30] * len(gaps), abs=0.01), "no slot is lost to the timeout before it"
    assert network.open == 0


async def test_a_bug_in_a_probe_is_unknown_and_counted_never_down(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [ZeroDivisionError("oops")])
    async with engine_on(network) as engine:
        entry = (await engine.add(http())).entry
        (beat,) = await collect(engine, 1)
        statistics = engine.statistics()
        assert (beat.status, beat.reason) == (UNKNOWN, "fault")
        assert "ZeroDivisionError: oops" in beat.message
        assert statistics.faults == 1
        assert statistics.unknown_reasons == {"fault": 1}
        assert engine.get(entry.id).state.confirmed is None


async def test_a_timeout_that_our_own_loop_slept_through_is_unknown(mock_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [float("inf")])
    async with engine_on(network) as engine:
        await engine.add(http(timeout=1000))
        with engine.subscribe() as live:
            await wait_all_tasks_blocked()
            mock_clock.jump(5)  # nothing ran for five seconds: the timeout of one second comes four late
            await wait_all_tasks_blocked()
            beat = await anext(live)
    assert isinstance(beat, Heartbeat)
    assert (beat.status, beat.reason) == (UNKNOWN, "starved")


async def test_a_changed_monitor_is_checked_at_once_with_its_new_definition(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK], other=lambda: [REFUSED])
    async with engine_on(network) as engine:
        entry = (await engine.add(http(interval=3_600_000))).entry
        await trio.sleep(100)
        changed = await engine.update(entry.id, {"url": "http://other/", "id": "ignored", "status": "up"})
        await trio.sleep(1)
        assert network.times("other") == pytest.approx([100], abs=0.01)
        assert changed.entry.monitor.name == "site"
        assert changed.entry.created_ms == EPOCH_MS
        assert changed.entry.updated_ms == EPOCH_MS + 100_000
        assert engine.get(entry.id).state.status is DOWN
        await trio.sleep(7200)
        assert len(network.times("site")) == 1, "the old definition is checked no more"


async def test_a_change_to_what_is_there_already_is_none(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        made = await engine.add(http(expectedValue=1, jsonQuery="$.load", retries=2))
        await trio.sleep(1)
        shown = {**fields_of(made.entry.monitor), "id": made.entry.id, "status": "up", "updatedAt": "then"}
        for changes in ({}, {"name": "site"}, shown):
            assert (await engine.update(made.entry.id, changes)).entry == made.entry
        await trio.sleep(1)
        assert len(network.times("site")) == 1, "nor is there anything to try out"
        with pytest.raises(Invalid):
            await engine.update(made.entry.id, {**shown, "url": "nowhere"})
        await engine.update(made.entry.id, {"expectedValue": True})
        monitor = engine.get(made.entry.id).entry.monitor
        assert isinstance(monitor, HttpMonitor)
        assert monitor.expected_value is True, "it is not 1, however equal"


async def test_changes_of_a_failing_monitor_use_up_no_retries(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [FAILING])
    async with engine_on(network) as engine:
        id = (await engine.add(http(interval=60_000, retries=3, retryInterval=10_000))).entry.id
        for n in range(6):
            await trio.sleep(0.01)
            await engine.update(id, {"timeout": 1000 + n})
        await trio.sleep(0.01)
        assert len(network.times("site")) == 7, "each change is tried out at once"
        assert engine.get(id).state == State(PENDING, None, failures=1)
        beats = await collect(engine, 3)
        assert [beat.status for beat in beats] == [PENDING, PENDING, DOWN]
        assert network.times("site")[7:] == pytest.approx([10, 20, 30], abs=0.01), "retries come when they would have"


async def test_changes_do_not_keep_a_failing_monitor_from_going_down(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [FAILING])
    async with engine_on(network) as engine:
        id = (await engine.add(http(interval=60_000, retries=3, retryInterval=10_000))).entry.id
        for n in range(100):
            if engine.get(id).state.status is DOWN:
                break
            await trio.sleep(3)
            await engine.update(id, {"timeout": 1000 + n})
        assert trio.current_time() == pytest.approx(30, abs=4)


async def test_a_change_of_the_name_alone_lets_a_check_go_on(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [1000.0])
    async with engine_on(network) as engine:
        id = (await engine.add(http(timeout=30_000))).entry.id
        for n in range(10):
            await trio.sleep(20)
            await engine.update(id, {"name": f"site {n}"})
        snapshot = engine.get(id)
        assert (snapshot.entry.monitor.name, snapshot.state.status) == ("site 9", DOWN)
        assert snapshot.last is not None
        assert snapshot.last.at >= EPOCH_MS + 140_000, "it was checked once an interval all the while"
        await engine.update(id, {"notifications": {"enabled": False}})
        assert not engine.get(id).entry.monitor.notifications.enabled


async def test_a_target_that_hangs_is_down_however_often_its_monitor_is_tuned(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [1000.0])
    async with engine_on(network) as engine:
        id = (await engine.add(http(timeout=30_000))).entry.id
        for n in range(10):
            await trio.sleep(20)
            await engine.update(id, {"retryInterval": 40_000 + n})
        assert engine.get(id).state.status is DOWN
        assert network.times("site") == pytest.approx([30 * n for n in range(7)], abs=0.01), "each is tried out at once"
        await engine.update(id, {"interval": 3_600_000})
        await trio.sleep(3600)
        assert len(network.times("site")) == 9, "and holds from then on"
        assert network.open == 0


async def test_an_outage_is_seen_however_often_a_token_is_changed(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork(site=lambda: [FAILING])) as engine:
        fields = http(retries=3, authMethod="bearer", bearerToken="0")
        id = (await engine.add(fields)).entry.id
        for number in range(1, 5):
            await trio.sleep(170)
            await engine.update(id, {"bearerToken": str(number)})
        assert engine.get(id).state.status is DOWN


async def test_a_change_that_helps_is_seen_at_once_and_the_next_failure_counts_anew(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [FAILING], other=lambda: [OK] if trio.current_time() < 6 else [FAILING])
    async with engine_on(network) as engine:
        id = (await engine.add(http(interval=5_000, retries=1, retryInterval=10_000), 1)).entry.id
        await trio.sleep(1)
        await engine.update(id, {"url": "http://other/"})
        await trio.sleep(0.01)
        assert engine.get(id).state == State(UP, UP)
        beats = [beat for beat in await collect(engine, 4) if beat.status is not UP]
        assert [beat.status for beat in beats[:2]] == [PENDING, DOWN]
        assert beats[1].at - beats[0].at == pytest.approx(10_000, abs=2)


async def test_a_wrong_change_changes_nothing(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        entry = (await engine.add(http())).entry
        for changes in ({"interval": 1}, {"type": "push"}, {"nonsense": 1}, {"name": None}):
            with pytest.raises(Invalid):
                await engine.update(entry.id, changes)
        assert engine.get(entry.id).entry == entry
        with pytest.raises(Invalid):
            await engine.add(http(url="nowhere"))
        assert len(engine.monitors()) == 1


async def test_none_takes_a_field_back_to_its_default(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork(site=lambda: [OK])) as engine:
        entry = (await engine.add(http(timeout=500))).entry
        changed = await engine.update(entry.id, {"timeout": None})
        assert changed.entry.monitor.timeout_ms == 30_000


async def test_a_paused_monitor_rests_and_a_resumed_one_is_checked_at_once(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        id = (await engine.add(http(interval=60_000))).entry.id
        await trio.sleep(10)
        assert (await engine.pause(id)).state.status is PAUSED
        assert (await engine.pause(id)).entry.paused, "twice is fine"
        checked = len(network.times("site"))
        await trio.sleep(DAY_S)
        assert len(network.times("site")) == checked
        assert (await engine.resume(id)).state.status is PENDING
        await trio.sleep(1)
        assert len(network.times("site")) == checked + 1
        statuses = [beat.status for beat in await engine.heartbeats(id)]
        assert statuses[:3] == [UP, PENDING, PAUSED]
        total = await engine.totals_of(id, DAY_S * 1000)
        assert total.paused == pytest.approx(DAY_S * 1000, abs=61_000)
        assert total.uptime == 100.0
        assert total.checks == checked + 1, "pausing and resuming are no checks"


async def test_a_deleted_monitor_is_gone_and_left_alone(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [5.0, OK])
    async with engine_on(network) as engine:
        id = (await engine.add(http())).entry.id
        await trio.sleep(1)  # in mid-probe
        await engine.delete(id)
        assert network.open == 0
        assert engine.monitors() == []
        for call in (engine.pause, engine.resume, engine.delete):
            with pytest.raises(NoSuchMonitor):
                await call(id)
        with pytest.raises(NoSuchMonitor):
            engine.get(id)
        await trio.sleep(DAY_S)
        assert len(network.times("site")) == 1


@pytest.mark.parametrize(
    "id",
    ["monitor-0", "monitor-", "monitor-1x", "monitor-01", "monitor-+1", "nonsense", "monitor-" + "9" * 40, "monitor-²"],
)
async def test_an_id_that_is_none_finds_nothing(autojump_clock: MockClock, id: str) -> None:
    async with engine_on(ScriptedNetwork(site=lambda: [OK])) as engine:
        assert (await engine.add(http())).entry.id == "monitor-1"
        with pytest.raises(NoSuchMonitor):
            engine.get(id)


async def test_a_caller_that_goes_away_leaves_no_half_change(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        with trio.CancelScope() as scope:
            scope.cancel()
            await engine.add(http())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.add, http(name="seen through"))
            await trio.lowlevel.checkpoint()  # the command is on its way
            nursery.cancel_scope.cancel()
        await trio.sleep(1)
        names = [snapshot.entry.monitor.name for snapshot in engine.monitors()]
        assert names in ([], ["seen through"])
        assert len(network.times("site")) == len(names)
        await engine.add(http(name="next"))
        assert [snapshot.entry.monitor.name for snapshot in engine.monitors()] == [*names, "next"]


async def test_starting_again_goes_on_where_it_stopped(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    network = ScriptedNetwork(site=lambda: [FAILING])
    async with engine_on(network, store) as engine:
        id = (await engine.add(http(retries=3, interval=60_000))).entry.id
        await trio.sleep(100)  # two of three retries used
        before = engine.get(id)
        assert before.state.status is PENDING
    await trio.sleep(7)
    async with engine_on(network, store) as engine:
        assert engine.get(id).state == before.state
        beats = await collect(engine, 2)
        assert [beat.status for beat in beats] == [PENDING, DOWN]
    assert network.times("site") == pytest.approx([0, 60, 120, 180], abs=0.01), "retries come when they would have"


async def test_a_retry_comes_no_sooner_by_a_restart(autojump_clock: MockClock) -> None:
    store, network = MemoryStore(), ScriptedNetwork(site=lambda: [FAILING])
    async with engine_on(network, store) as engine:
        await engine.add(http(interval=60_000, retries=1, retryInterval=600_000))
        await trio.sleep(5)
    async with engine_on(network, store) as engine:
        await trio.sleep(590)
        assert engine.get("monitor-1").state.status is PENDING
        await trio.sleep(10)
        assert engine.get("monitor-1").state.status is DOWN
    assert network.times("site") == pytest.approx([0, 600], abs=0.01)


@pytest.mark.parametrize("ahead_ms", [-DAY_S * 1000, DAY_S * 1000])
async def test_a_retry_that_is_overdue_or_dated_in_the_future_is_made_soon(
    autojump_clock: MockClock, ahead_ms: int
) -> None:
    store, network = MemoryStore(), ScriptedNetwork(site=lambda: [FAILING])
    entry = await store.add(
        parse_monitor(http(interval=DAY_S * 1000, retries=1, retryInterval=60_000), min_interval_ms=1000),
        now_ms=0,
        push_id=None,
    )
    await store.append([Heartbeat(entry.number, EPOCH_MS + ahead_ms, PENDING, "Refused", "connection_refused")])
    async with engine_on(network, store) as engine:
        await trio.sleep(60.1)
        assert engine.get(entry.id).state.status is DOWN


async def test_a_check_whose_slot_passed_while_the_server_was_off_is_made_at_the_start(
    autojump_clock: MockClock,
) -> None:
    store, network = MemoryStore(), ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network, store) as engine:
        await engine.add(http(interval=DAY_S * 1000))
        slot = until_slot_ms(1, DAY_S * 1000, EPOCH_MS) / 1000
        await trio.sleep_until(slot - 10)
    await trio.sleep(20)  # the host restarts at night
    async with engine_on(network, store):
        await trio.sleep(60)
        assert len(network.times("site")) == 2
    async with engine_on(network, store):
        await trio.sleep(3600)
        assert len(network.times("site")) == 2, "there is nothing to make up for"
    async with engine_on(network, store):
        await trio.sleep(DAY_S)
    assert network.times("site")[2:] == pytest.approx([slot + DAY_S], abs=0.01), "and in the slot it had before"


async def test_after_the_stop_every_finished_check_is_stored(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network, store) as engine:
        for _ in range(50):
            await engine.add(http())
        await trio.sleep(0.05)  # less than the commit rhythm
        seen = [snapshot.last for snapshot in engine.monitors() if snapshot.last is not None]
    assert len(seen) == 50
    for last in seen:
        assert [beat.at for beat in await store.heartbeats(last.monitor, limit=5)] == [last.at]


async def test_a_stopped_engine_refuses_commands(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork()) as engine:
        pass
    with pytest.raises(Stopped):
        await engine.add(http())


async def test_uptime_and_overview_agree_with_what_happened(autojump_clock: MockClock) -> None:
    outage = (3600.0, 3600.0 + 900.0)
    network = ScriptedNetwork(
        site=lambda: [FAILING] if outage[0] <= trio.current_time() < outage[1] else [OK], fine=lambda: [OK]
    )
    async with engine_on(network) as engine:
        site = (await engine.add(http("site", interval=10_000))).entry
        await engine.add(http("fine", interval=10_000))
        await trio.sleep(7200)
        total = await engine.totals_of(site.id, DAY_S * 1000)
        assert total.down == pytest.approx(900_000, abs=10_000)
        assert total.up == pytest.approx(6_300_000, abs=10_000)
        assert total.failures == pytest.approx(90, abs=1)
        assert total.checks == pytest.approx(720, abs=2)
        overview = await engine.overview()
        assert overview.monitors == 2
        assert overview.by_status[UP] == 2
        assert overview.day.uptime == pytest.approx(100 * (1 - 900 / 14400), abs=0.2)
        assert overview.ever.checks == overview.week.checks == pytest.approx(1440, abs=4)
        for period in (7, 30, 90):
            assert (await engine.totals_of(site.id, period * DAY_S * 1000)).checks == total.checks


async def test_an_embedding_program_may_give_records(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork(site=lambda: [OK])) as engine:
        monitor = HttpMonitor(name="mine", url="http://site/", interval=5000)
        assert (await engine.add(monitor)).entry.monitor == monitor
        with pytest.raises(Invalid):
            await engine.add(HttpMonitor(name="", url="http://site/"))


async def test_the_engine_needs_no_arguments() -> None:
    async with Engine.open() as engine:
        assert engine.monitors() == []


async def test_a_pause_whose_heartbeat_was_lost_in_a_crash_is_still_a_pause(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(site=lambda: [OK]), store) as engine:
        entry = (await engine.add(http())).entry
        await trio.sleep(1)
    await store.replace(msgspec.structs.replace(entry, paused=True))  # as far as it came before kill -9
    async with engine_on(ScriptedNetwork(), store) as engine:
        assert engine.get(entry.id).state.status is PAUSED
        assert engine.statistics().by_status[PAUSED] == 1


async def test_a_paused_monitor_still_shows_its_newest_check_after_a_restart(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(site=lambda: [OK]), store) as engine:
        entry = (await engine.add(http())).entry
        await trio.sleep(1)
        await engine.pause(entry.id)
        checked = engine.get(entry.id).last
        assert checked is not None
    async with engine_on(ScriptedNetwork(), store) as engine:
        last = engine.get(entry.id).last
        assert last is not None
        assert last.at == checked.at


async def test_a_history_from_the_future_is_said_loudly(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    async with engine_on(ScriptedNetwork(site=lambda: [OK]), store) as engine:
        entry = (await engine.add(http())).entry
        await trio.sleep(1)
    await store.append([Heartbeat(entry.number, EPOCH_MS + 10**9, UP, "OK")])
    async with engine_on(ScriptedNetwork(site=lambda: [OK]), store):
        assert "is this host's clock right?" in caplog.text


class SlowToChange(MemoryStore):
    """A store whose disk hangs for a minute at each change of a monitor."""

    async def replace(self, entry: Entry, deliveries: Sequence[NewDelivery] = ()) -> None:
        await trio.sleep(60)
        await super().replace(entry, deliveries)


async def test_a_renamed_monitor_is_checked_while_its_name_is_stored(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK], new=lambda: [OK])
    async with engine_on(network, SlowToChange()) as engine:
        id = (await engine.add(http(interval=1000))).entry.id
        await engine.update(id, {"name": "renamed"})
        assert len(network.times("site")) > 55
        before = len(network.times("site"))
        await engine.update(id, {"url": "http://new/"})
        assert len(network.times("site")) <= before + 1, "what is seen now would be taken for the new target's"
        await trio.sleep(1)
        assert network.times("new")


class Noting(MemoryStore):
    """A store that notes the keys of what is to be told of changes, and has none of it sent."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    async def replace(self, entry: Entry, deliveries: Sequence[NewDelivery] = ()) -> None:
        self.keys += [new.message.key for new in deliveries]
        await super().replace(entry)


async def test_each_change_of_one_millisecond_is_told_by_a_key_of_its_own(autojump_clock: MockClock) -> None:
    store = Noting()
    async with engine_on(ScriptedNetwork(site=lambda: [OK]), store) as engine:
        config = {"url": "http://hook.example/", "events": ["monitor.updated"]}
        await engine.channels.add({"type": "webhook", "name": "hook", "config": config})
        id = (await engine.add(http())).entry.id
        await engine.update(id, {"name": "first"})
        await engine.update(id, {"name": "second"})
        await engine.pause(id)
        await engine.update(id, {"name": "third"})
        assert trio.current_time() < 0.001
    assert len(set(store.keys)) == len(store.keys) == 3


class Hanging(Probe):
    async def __call__(self, trace: Trace) -> Outcome:
        trace.enter(WAIT)
        await trio.sleep_forever()
        raise AssertionError("unreached")


def services(slept_s: Callable[[], float] = lambda: 0.0) -> Services:
    return Services(ScriptedNetwork(), Timekeeper(slept_s), Outlets(), Counters(), virtual_utc_ms)


async def test_a_target_that_hangs_is_down_though_this_host_is_busy_whenever_its_check_is_due(
    autojump_clock: MockClock,
) -> None:
    async def be_busy() -> None:
        while True:
            await trio.sleep(until_slot_ms(1, 60_000, virtual_utc_ms()) / 1000 - 0.01)
            autojump_clock.jump(0.4)
            await trio.sleep(1)

    network = ScriptedNetwork(site=lambda: [float("inf")])
    async with engine_on(network) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(be_busy)
        await engine.add(http(interval=60_000, timeout=1000))
        beats = await collect(engine, 5)
        late_ms = engine.statistics().late_max_ms
        nursery.cancel_scope.cancel()
    assert late_ms == pytest.approx(390, abs=3)
    assert {(beat.status, beat.reason) for beat in beats} == {(DOWN, "timeout")}


GAVE_UP_ON_US = [
    *(Outcome(DOWN, "the target hung up", reason) for reason in sorted(LOST_PATIENCE)),
    Outcome(DOWN, "Request Timeout", "status_code", status_code=408),
]
IS_AS_IT_IS = [
    Outcome(DOWN, "Connection refused", "connection_refused"),
    Outcome(DOWN, "Service Unavailable", "status_code", status_code=503),
    Outcome(UP, "Request Timeout, which is expected", status_code=408),
]


@pytest.mark.parametrize(
    ("found", "standstill_s", "status"),
    [
        *((outcome, 10.0, UNKNOWN) for outcome in GAVE_UP_ON_US),
        *((outcome, 0.1, DOWN) for outcome in GAVE_UP_ON_US),
        *((outcome, 10.0, outcome.status) for outcome in IS_AS_IT_IS),
    ],
)
async def test_a_target_that_gave_up_on_us_while_we_stood_still_is_not_down(
    autojump_clock: MockClock, found: Outcome, standstill_s: float, status: Status
) -> None:
    class Frozen(Probe):
        async def __call__(self, trace: Trace) -> Outcome:
            await trio.sleep(1)
            autojump_clock.jump(standstill_s)
            return found

    given = services()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(given.timekeeper.run)
        outcome = await probe_within(30, Frozen(), given)
        nursery.cancel_scope.cancel()
    assert outcome.status is status
    assert (outcome.reason == "starved") == (status is UNKNOWN)
    assert given.counters.faults == (status is UNKNOWN)


@pytest.mark.parametrize("found", [None, Outcome(DOWN, "Connection reset", "connection_reset")])
async def test_a_check_during_which_this_host_slept_is_our_own(
    autojump_clock: MockClock, found: Outcome | None
) -> None:
    slept_s = 0.0

    class Sleeping(Hanging):
        async def __call__(self, trace: Trace) -> Outcome:
            nonlocal slept_s
            await trio.sleep(0.5)
            slept_s += sleeps_s
            return found if found is not None else await super().__call__(trace)

    given = services(lambda: slept_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(given.timekeeper.run)
        sleeps_s = 3600.0
        assert (await probe_within(1, Sleeping(), given)).status is UNKNOWN
        sleeps_s = 0.0
        assert (await probe_within(1, Sleeping(), given)).status is DOWN, "what it slept before is nothing to a check"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("order", range(8))  # trio shuffles what became ready together
async def test_a_standstill_that_ends_just_after_the_deadline_is_seen(autojump_clock: MockClock, order: int) -> None:
    given = services()

    async def stand_still() -> None:
        await trio.sleep(26.0)
        autojump_clock.jump(4.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(given.timekeeper.run)
        nursery.start_soon(stand_still)
        outcome = await probe_within(30, Hanging(), given)
        nursery.cancel_scope.cancel()
    assert (outcome.status, outcome.reason) == (UNKNOWN, "starved")


@pytest.mark.parametrize(("standstill_s", "status"), [(0.02, DOWN), (0.15, UNKNOWN)])
async def test_a_timeout_while_the_loop_stood_still_again_and_again_is_our_own(
    autojump_clock: MockClock, standstill_s: float, status: Status
) -> None:
    given = services()

    async def tick() -> None:
        alarm = Alarm(given.timekeeper)
        while True:
            await alarm.sleep_until(trio.current_time() + 0.01)

    async def stand_still() -> None:
        while True:
            await trio.sleep(0.2)
            autojump_clock.jump(standstill_s)

    async with trio.open_nursery() as nursery:
        for task in (given.timekeeper.run, tick, stand_still):
            nursery.start_soon(task)
        assert (await probe_within(1, Hanging(), given)).status is status
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("others_wake_every_s", [1, 60])
async def test_a_standstill_is_seen_where_monitors_are_few(
    autojump_clock: MockClock, others_wake_every_s: float
) -> None:
    given = services()

    async def tick() -> None:
        alarm = Alarm(given.timekeeper)
        while True:
            await alarm.sleep_until(trio.current_time() + others_wake_every_s)

    async def stand_still() -> None:
        while True:
            await trio.sleep(0.2)
            autojump_clock.jump(0.15)

    async with trio.open_nursery() as nursery:
        for task in (given.timekeeper.run, tick, stand_still):
            nursery.start_soon(task)
        await trio.sleep(1.3)
        outcome = await probe_within(10, Hanging(), given)
        assert (outcome.status, outcome.reason) == (UNKNOWN, "starved")
        nursery.cancel_scope.cancel()


async def test_a_slot_that_passed_during_a_check_is_no_standstill(autojump_clock: MockClock) -> None:
    slow = [False]

    def flapping() -> list[bytes | float | Exception]:
        slow[0] = not slow[0]
        return [FAILING] if slow[0] else [15.0, OK]  # at a retry, beside its slots: when it ends the next has passed

    network = ScriptedNetwork(flapping=flapping, hanging=lambda: [1000.0])
    async with engine_on(network) as engine:
        await engine.add(http("flapping", timeout=30_000, retries=1, retryInterval=50_000))
        id = (await engine.add(http("hanging", timeout=30_000))).entry.id
        await trio.sleep(600)
        beats = await engine.heartbeats(id)
    assert {(beat.status, beat.reason) for beat in beats} == {(DOWN, "timeout")}


async def test_a_target_that_hangs_for_the_whole_interval_is_down_at_every_check(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [1000.0])
    async with engine_on(network) as engine:

        async def add() -> None:
            await trio.sleep(0.3)  # not in its slot: the first check is at once and ends after the next is due
            await engine.add(http(interval=1000, timeout=1000))

        beats = await collect(engine, 5, then=add)
    assert [beat.status for beat in beats] == [DOWN] * 5


async def test_heartbeats_keep_their_order_though_the_clock_was_set_back_while_nobody_ran(
    autojump_clock: MockClock,
) -> None:
    ahead_ms = 0

    def clock() -> int:
        return virtual_utc_ms() + ahead_ms

    store, network = MemoryStore(), ScriptedNetwork(site=lambda: [OK])
    async with Engine.open(store, network=network, utc_ms=clock) as engine:
        id = (await engine.add(http())).entry.id
        await trio.sleep(1)
        ahead_ms = 3_600_000
        await engine.pause(id)
    ahead_ms = 0
    async with Engine.open(store, network=network, utc_ms=clock) as engine:
        await engine.resume(id)
        await trio.sleep(1)
        assert [beat.status for beat in await engine.heartbeats(id)] == [UP, PENDING, PAUSED, UP]
