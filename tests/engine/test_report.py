"""A monitor's statistics against a model that looks at every second: from heartbeats, over a restart, to the means."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from peekaping.engine.accounting import DAY, HOUR, MINUTE, Bucket, Tally
from peekaping.engine.memory import MemoryStore
from peekaping.engine.outages import Outage
from peekaping.engine.probes.push import PushMonitor
from peekaping.engine.records import Heartbeat, State, Status
from peekaping.engine.report import Report, series_of
from peekaping.engine.verdict import judge, paused, resumed

from .scripted import EPOCH_MS, FAILING, OK, ScriptedNetwork, engine_on, http

UP, DOWN, PENDING, UNKNOWN, PAUSED = Status.UP, Status.DOWN, Status.PENDING, Status.UNKNOWN, Status.PAUSED

# The engine starts, on a history that is there, at a time that is no start of anything.
NOW = EPOCH_MS // 1000 + 754
MONITOR = PushMonitor(name="job", interval=120_000, retries=1)
HOLD_S = MONITOR.hold_ms // 1000
PERIOD_S, STEP_S = 7200, 900


class Event(NamedTuple):
    """A check and what it found, or a pause (PAUSED) or its end (PENDING), so long after the event before."""

    after: int
    what: Status


EVENTS = st.lists(
    st.builds(Event, st.sampled_from([1, 7, 60, 100, 400, 2000]) | st.integers(1, 600), st.sampled_from(Status)),
    min_size=1,
    max_size=40,
)


def dated(events: list[Event]) -> list[tuple[int, Status]]:
    """The events with their seconds, the last shortly before now, and none but a resumption in a pause."""
    second = NOW - 3 - sum(event.after for event in events)
    found: list[tuple[int, Status]] = []
    is_paused = False
    for event in events:
        second += event.after
        if event.what is PENDING or is_paused:
            if is_paused:
                found.append((second, PENDING))
            is_paused = False
        else:
            found.append((second, event.what))
            is_paused = event.what is PAUSED
    return [*found, (NOW - 1, PENDING)] if is_paused else found


class Model:
    """What every second of the period counts as, by the words of docs/statistics.md."""

    def __init__(self, events: list[tuple[int, Status]], start: int) -> None:
        self.steps: dict[int, Counter[Status]] = {}
        self.outages: list[tuple[int, int | None]] = []
        self.checks = 0
        happening = dict(events)
        shown, certain, failures, last = None, None, 0, 0
        for second in range(min([*happening, start]), NOW):
            what = happening.get(second)
            if what is not None:
                shown, last = what, second
                if what is UP:
                    if certain is DOWN:
                        self.outages[-1] = (self.outages[-1][0], second)
                    certain, failures = UP, 0
                elif what is DOWN and certain is not DOWN:
                    failures += 1
                    if failures > MONITOR.retries:
                        certain = DOWN
                        self.outages.append((second, None))
                    else:
                        shown = PENDING
                elif what in (PAUSED, PENDING):
                    failures = 0
                self.checks += second >= start and what not in (PAUSED, PENDING)
            if second < start or shown is None or (shown is not PAUSED and second >= last + HOLD_S):
                continue
            counts_as = (certain or UNKNOWN) if shown is PENDING else shown
            self.steps.setdefault(second // STEP_S, Counter())[counts_as] += 1000
        self.outages = [(began, ended) for began, ended in self.outages if ended is None or ended > start]

    def total(self, status: Status) -> int:
        return sum(step[status] for step in self.steps.values())


def heartbeats_of(number: int, events: list[tuple[int, Status]]) -> list[Heartbeat]:
    state, found = State(), []
    for second, what in events:
        transition = False
        if what is PAUSED:
            state = paused(state)
        elif what is PENDING:
            state = resumed(state)
        else:
            state, transition = judge(state, what, MONITOR.retries)
        is_check = what not in (PAUSED, PENDING)
        found.append(Heartbeat(number, second * 1000, state.status, "", transition=transition, is_check=is_check))
    return found


async def report_on(events: list[tuple[int, Status]], stored: int) -> Report:
    """What an engine says that starts now, when the first `stored` heartbeats went into minutes before."""
    store = MemoryStore()
    entry = await store.add(MONITOR, now_ms=0, push_id="secret")
    heartbeats = heartbeats_of(entry.number, events)
    tally = Tally(entry.number, heartbeats[0].at if heartbeats else NOW * 1000)
    for heartbeat in heartbeats[:stored]:
        await store.roll_up(tally.take(heartbeat, MONITOR.hold_ms))
    await store.append(heartbeats)
    await trio.sleep(NOW - EPOCH_MS // 1000)
    async with engine_on(ScriptedNetwork(), store) as engine:
        await wait_all_tasks_blocked()  # the statistics are rebuilt
        return await engine.report(entry.id, PERIOD_S * 1000, step_ms=STEP_S * 1000)


def time_in(bucket: Bucket) -> Counter[Status]:
    return +Counter({UP: bucket.up, DOWN: bucket.down, UNKNOWN: bucket.unknown, PAUSED: bucket.paused})


@settings(deadline=None)
@given(EVENTS, st.integers(0, 40))
@example([Event(1, DOWN), Event(1, DOWN), Event(8000, PAUSED), Event(5, PENDING)], 0)
@example([Event(1, UP), Event(100, DOWN), Event(100, DOWN), Event(100, UNKNOWN), Event(100, UP), Event(60, UP)], 3)
def test_the_report_is_what_every_second_says(events: list[Event], stored: int) -> None:
    happened = dated(events)
    report = trio.run(report_on, happened, stored, clock=MockClock(autojump_threshold=0))
    start = (NOW - PERIOD_S) // 60 * 60
    model = Model(happened, start)
    assert (report.now, report.total.start) == (NOW * 1000, start * 1000)
    assert [bucket.start for bucket in report.series] == [
        max(start, at) * 1000 for at in range(start - start % STEP_S, NOW + 1, STEP_S)
    ]
    drawn = {bucket.start // 1000 // STEP_S: time_in(bucket) for bucket in report.series}
    assert drawn == {step: model.steps.get(step, Counter()) for step in drawn}
    assert time_in(report.total) == +Counter({status: model.total(status) for status in Status})
    assert report.total.checks == sum(bucket.checks for bucket in report.series) == model.checks
    expected = [Outage(began * 1000, None if ended is None else ended * 1000) for began, ended in model.outages]
    assert (report.outage_count, report.outages) == (len(expected), expected[::-1])
    if expected:
        mttr, mtbf = report.mean_time_to_recovery, report.mean_time_between_failures
        assert (mttr, mtbf) == (model.total(DOWN) / len(expected), model.total(UP) / len(expected))
        if report.total.uptime is not None and mttr is not None and mtbf is not None:
            assert report.total.uptime == pytest.approx(100 * mtbf / (mtbf + mttr), abs=0.001)
    else:
        assert report.mean_time_to_recovery is report.mean_time_between_failures is None


async def test_a_report_of_each_period_tells_of_the_outage(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [FAILING] if 3600 <= trio.current_time() < 4500 else [OK])
    async with engine_on(network) as engine:
        id = (await engine.add(http(interval=10_000))).entry.id
        await trio.sleep(7200)
        for days, step_ms in ((1, 15 * MINUTE), (7, 2 * HOUR), (30, 6 * HOUR), (90, DAY)):
            report = await engine.report(id, days * DAY, step_ms=step_ms)
            (outage,) = report.outages
            assert outage.end is not None
            assert outage.end - outage.start == pytest.approx(900_000, abs=10_000)
            assert report.mean_time_to_recovery == outage.end - outage.start
            assert report.mean_time_between_failures == report.total.up
            assert sum(bucket.failures for bucket in report.series) == report.total.failures == 90
            assert len(report.series) in (90, 91, 97, 85, 121)


async def test_an_outage_that_lasts_has_no_end(autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork(site=lambda: [FAILING])) as engine:
        id = (await engine.add(http(interval=10_000))).entry.id
        await trio.sleep(60)
        report = await engine.report(id, DAY, step_ms=HOUR)
        assert [outage.end for outage in report.outages] == [None]
        assert report.mean_time_to_recovery == report.total.down > 50_000


async def test_an_outage_goes_on_over_a_restart(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    network = ScriptedNetwork(site=lambda: [FAILING] if trio.current_time() < 300 else [OK])
    async with engine_on(network, store) as engine:
        id = (await engine.add(http(interval=10_000))).entry.id
        await trio.sleep(60)
        (before,) = (await engine.report(id, DAY, step_ms=HOUR)).outages
    await trio.sleep(300)
    async with engine_on(network, store) as engine:
        await trio.sleep(60)
        (after,) = (await engine.report(id, DAY, step_ms=HOUR)).outages
    assert before == Outage(after.start)
    assert after.end is not None
    assert after.end >= EPOCH_MS + 360_000


async def test_uptimes_of_several_are_those_of_each(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(a=lambda: [OK], b=lambda: [FAILING] if trio.current_time() < 1000 else [OK])
    async with engine_on(network) as engine:
        a, b = [(await engine.add(http(name, interval=10_000))).entry.id for name in "ab"]
        await trio.sleep(7230)
        found = await engine.uptimes([b, a, "monitor-77", "nonsense"])
        assert list(found) == [b, a, "monitor-77"]
        for id in (a, b):
            singly = [await engine.totals_of(id, days * DAY) for days in (1, 7, 30)]
            assert [time_in(bucket) for bucket in found[id]] == [time_in(bucket) for bucket in singly]
            assert [bucket.uptime for bucket in found[id]] == [bucket.uptime for bucket in singly]
        assert [bucket.uptime for bucket in found["monitor-77"]] == [None] * 3
        assert (await engine.uptimes([])) == {}


async def test_the_days_of_several_are_what_was_in_each(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(a=lambda: [OK], b=lambda: [FAILING] if trio.current_time() < 3600 else [OK])
    async with engine_on(network) as engine:
        a, b = [(await engine.add(http(name, interval=60_000))).entry.id for name in "ab"]
        await trio.sleep(DAY / 1000 + 30)
        found = await engine.days([b, a, "monitor-77", "nonsense"], 3)
        today = trio.current_time()
    assert list(found) == [b, a, "monitor-77"]
    for id, days in found.items():
        midnight = EPOCH_MS + round(today * 1000) - (EPOCH_MS + round(today * 1000)) % DAY
        assert [day.start for day in days] == [midnight - 2 * DAY, midnight - DAY, midnight], id
    assert [day.uptime for day in found[a]] == [None, 100, 100]
    assert [day.down > 0 for day in found[b]] == [False, True, False]
    assert sum(day.up + day.down for day in found[b]) == pytest.approx(DAY, abs=61_000)
    assert [day.uptime for day in found["monitor-77"]] == [None] * 3


def test_a_minute_outside_the_period_is_not_lost() -> None:
    """A clock that was set back leaves minutes in the future, one that stood minutes before the period."""
    odd = [Bucket(monitor=1, start=start, checks=1) for start in (0, HOUR, 9 * HOUR)]
    series = series_of(1, HOUR + MINUTE, HOUR, 2 * HOUR, odd)
    assert [(bucket.start, bucket.checks) for bucket in series] == [(HOUR + MINUTE, 2), (2 * HOUR, 1)]
