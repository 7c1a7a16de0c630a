"""A storm of changes while probing ends in the state that a plain model predicts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

import outcome
import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from trio.testing import MockClock

from peekaping.engine.engine import Engine
from peekaping.engine.errors import NoSuchMonitor
from peekaping.engine.memory import MemoryStore
from peekaping.engine.reading import EngineStatistics
from peekaping.engine.records import Snapshot, Status

from .scripted import OK, REFUSED, ScriptedNetwork, Step, engine_on, http

SITES: dict[str, list[Step]] = {"good": [OK], "slow": [0.2, OK], "hanging": [float("inf")], "dead": [REFUSED]}
LONGEST_TIMEOUT_S, LONGEST_INTERVAL_S, MOST_RETRIES = 1, 2, 2
GOOD = ("good", "slow")
LOOKED_ON_S = 4
HANGS_S = 60
CALM_S = 2.0 * (MOST_RETRIES + 2) * (LONGEST_INTERVAL_S + LONGEST_TIMEOUT_S)
"""By then every target has shown what it is, and who pushes no more has been missed."""

numbers = st.integers(0, 99)
rests = st.sampled_from([0.0, 0.001, 0.001, 0.001, 0.7])
"""Virtual seconds after a change: a thousand changes a second, bursts, and moments in which checks end."""
sites = st.sampled_from(sorted(SITES))
tunings = st.fixed_dictionaries(
    {
        "interval": st.sampled_from([1000, 1000 * LONGEST_INTERVAL_S]),
        "retries": st.integers(0, MOST_RETRIES),
        "retryInterval": st.sampled_from([1000, 1000 * LONGEST_INTERVAL_S]),
    }
)


Work = Callable[[Engine], Awaitable[Any]]


@dataclass(frozen=True)
class Wanted:
    """What a monitor should be."""

    site: str | None
    """None: it is told."""
    push_id: str | None
    name: str
    tuning: dict[str, int]
    is_paused: bool = False
    was_up: bool = False
    """Whether a target that it had, or a push, may have been good."""
    was_down: bool = False
    """Whether one may have been bad, or missing."""

    def shown_at_last(self) -> Status:
        """What it shows once all has been calm for a time."""
        if self.is_paused:
            return Status.PAUSED
        return Status.UP if self.site in GOOD else Status.DOWN


class Storm(RuleBasedStateMachine):
    """An engine in a thread of its own, on virtual time, which passes only while it is given something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ScriptedNetwork(**SITES)
        self.store = MemoryStore()
        self.wanted: dict[str, Wanted] = {}
        self.gone: list[str] = []
        self._is_over = False
        self._given: SimpleQueue[Work | None] = SimpleQueue()
        self._answers: SimpleQueue[outcome.Outcome[Any]] = SimpleQueue()
        self._thread = Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        end = outcome.capture(lambda: trio.run(self._serve, clock=MockClock(autojump_threshold=0)))
        self._is_over = True  # also when the engine ended of itself: who waits for an answer is told why
        self._answers.put(end)

    async def _serve(self) -> None:
        while not self._is_over:
            async with engine_on(self.network, self.store) as engine:
                while (work := self._given.get()) is not None:
                    self._answers.put(await outcome.acapture(work, engine))

    def _do(self, work: Work, rest_s: float = 0.0) -> Any:
        """What comes of it. The engine has `rest_s` to itself after it."""

        async def do(engine: Engine) -> Any:
            answer = await work(engine)
            if rest_s:
                await trio.sleep(rest_s)
            return answer

        self._given.put(do)
        return self._answers.get(timeout=HANGS_S).unwrap()

    def _change(self, number: int, **changes: Any) -> tuple[str, Wanted]:
        """One of the monitors there are, and what it should be from now on."""
        id = list(self.wanted)[number % len(self.wanted)]
        wanted = replace(self.wanted[id], **changes)
        if wanted.push_id is None:
            is_good = wanted.site in GOOD
            wanted = replace(wanted, was_up=wanted.was_up or is_good, was_down=wanted.was_down or not is_good)
        self.wanted[id] = wanted
        return id, wanted

    @rule(site=sites, tuning=tunings, rest_s=rests)
    def create(self, site: str, tuning: dict[str, int], rest_s: float) -> None:
        entry = self._do(lambda engine: engine.add(http(site, timeout=1000, **tuning)), rest_s).entry
        self.wanted[entry.id] = Wanted(site, None, site, tuning, was_up=site in GOOD, was_down=site not in GOOD)

    @rule(tuning=tunings, rest_s=rests)
    def create_one_that_is_told(self, tuning: dict[str, int], rest_s: float) -> None:
        fields = {"type": "push", "name": "job", "grace": 500, **tuning}
        entry = self._do(lambda engine: engine.add(fields), rest_s).entry
        self.wanted[entry.id] = Wanted(None, entry.push_id, "job", tuning, was_down=True)

    @precondition(lambda self: self.wanted)
    @rule(number=numbers, tuning=tunings, rest_s=rests)
    def tune(self, number: int, tuning: dict[str, int], rest_s: float) -> None:
        id, _ = self._change(number, tuning=tuning)
        self._do(lambda engine: engine.update(id, tuning), rest_s)

    @rule(tuning=tunings, rest_s=rests)
    def tune_all_at_once(self, tuning: dict[str, int], rest_s: float) -> None:
        ids = [self._change(number, tuning=tuning)[0] for number in range(len(self.wanted))]

        async def tune(engine: Engine) -> None:
            async with trio.open_nursery() as nursery:
                for id in ids:
                    nursery.start_soon(engine.update, id, tuning)

        self._do(tune, rest_s)

    @precondition(lambda self: self.wanted)
    @rule(number=numbers, name=st.text("xyz", min_size=1), rest_s=rests)
    def rename(self, number: int, name: str, rest_s: float) -> None:
        id, _ = self._change(number, name=name)
        self._do(lambda engine: engine.update(id, {"name": name}), rest_s)

    @precondition(lambda self: any(wanted.site for wanted in self.wanted.values()))
    @rule(number=numbers, site=sites, rest_s=rests)
    def move(self, number: int, site: str, rest_s: float) -> None:
        checked = [place for place, wanted in enumerate(self.wanted.values()) if wanted.site]
        id, _ = self._change(checked[number % len(checked)], site=site)
        self._do(lambda engine: engine.update(id, {"url": f"http://{site}/"}), rest_s)

    @precondition(lambda self: self.wanted)
    @rule(number=numbers, rest_s=rests)
    def pause(self, number: int, rest_s: float) -> None:
        id, _ = self._change(number, is_paused=True)
        self._do(lambda engine: engine.pause(id), rest_s)

    @precondition(lambda self: self.wanted)
    @rule(number=numbers, rest_s=rests)
    def resume(self, number: int, rest_s: float) -> None:
        id, _ = self._change(number, is_paused=False)
        self._do(lambda engine: engine.resume(id), rest_s)

    @precondition(lambda self: self.wanted)
    @rule(number=numbers, rest_s=rests)
    def delete(self, number: int, rest_s: float) -> None:
        id, _ = self._change(number)
        self._do(lambda engine: engine.delete(id), rest_s)
        del self.wanted[id]
        self.gone.append(id)

    @precondition(lambda self: any(wanted.push_id for wanted in self.wanted.values()))
    @rule(number=numbers)
    def push(self, number: int) -> None:
        told = [place for place, wanted in enumerate(self.wanted.values()) if wanted.push_id]
        id, wanted = self._change(told[number % len(told)], was_up=True)

        async def push(engine: Engine) -> Status:
            assert wanted.push_id is not None
            await engine.push(wanted.push_id)
            (newest,) = await self.store.heartbeats(engine.get(id).entry.number, limit=1)
            return newest.status

        if wanted.is_paused:
            with pytest.raises(NoSuchMonitor):
                self._do(push)
        else:
            assert self._do(push) is Status.UP, "it is stored when it is acknowledged"

    @rule()
    def restart(self) -> None:
        self._given.put(None)

    @invariant()
    def all_is_as_it_was_wanted(self) -> None:
        shown = {snapshot.entry.id: snapshot for snapshot in self._do(_monitors)}
        assert set(shown) == set(self.wanted)
        for id, wanted in self.wanted.items():
            entry, state, *_ = shown[id]
            monitor = entry.monitor
            tuning = {"interval": monitor.interval, "retries": monitor.retries, "retryInterval": monitor.retry_interval}
            assert (monitor.name, tuning, entry.paused) == (wanted.name, wanted.tuning, wanted.is_paused)
            assert (state.status is Status.PAUSED) == wanted.is_paused
            assert state.status is not Status.UNKNOWN
            assert wanted.was_up or state.status is not Status.UP, "nobody saw it well"
            assert wanted.was_down or state.status is not Status.DOWN, "an outage was invented"

    @rule()
    def in_the_end_each_shows_what_its_target_is(self) -> None:
        shown = self._do(_monitors_after_calm)
        assert {snapshot.entry.id: snapshot.state.status for snapshot in shown} == {
            id: wanted.shown_at_last() for id, wanted in self.wanted.items()
        }
        # Each monitor that is checked has one actor and no more.
        before = len(self.network.connections)
        self._do(_look_on)
        checked = [wanted for wanted in self.wanted.values() if wanted.site and not wanted.is_paused]
        expected = sum(LOOKED_ON_S * 1000 // wanted.tuning["interval"] for wanted in checked)
        assert abs(len(self.network.connections) - before - expected) <= len(checked)
        statistics = self._do(_statistics)
        assert (statistics.restarts, statistics.dropped, statistics.faults) == (0, 0, 0)
        for id in self.gone:
            with pytest.raises(NoSuchMonitor):
                self._do(partial(_get, id=id))

    def teardown(self) -> None:
        if self._is_over:
            return
        try:
            self.in_the_end_each_shows_what_its_target_is()
        finally:
            self._is_over = True
            self._given.put(None)
            self._thread.join(HANGS_S)
            self._answers.get(timeout=HANGS_S).unwrap()
        assert self.network.open == 0


async def _monitors(engine: Engine) -> list[Snapshot]:
    return engine.monitors()


async def _monitors_after_calm(engine: Engine) -> list[Snapshot]:
    await trio.sleep(CALM_S)
    return engine.monitors()


async def _look_on(engine: Engine) -> None:
    await trio.sleep(LOOKED_ON_S)


async def _statistics(engine: Engine) -> EngineStatistics:
    return engine.statistics()


async def _get(engine: Engine, id: str) -> Snapshot:
    return engine.get(id)


TestStorm = Storm.TestCase
TestStorm.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)


async def test_a_hundred_callers_at_once_are_all_answered(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(a=lambda: [OK])
    async with engine_on(network) as engine:

        async def caller() -> None:
            id = (await engine.add(http("a", interval=1000))).entry.id
            await engine.pause(id)
            await engine.update(id, {"retries": 2})
            await engine.resume(id)
            await engine.delete(id)

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(caller)
        assert engine.monitors() == []
        assert network.open == 0
