"""A storm of changes while probing ends in the state that a plain model predicts."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from peekaping.engine.engine import Engine
from peekaping.engine.errors import NoSuchMonitor
from peekaping.engine.memory import MemoryStore
from peekaping.engine.records import Status

from .scripted import OK, ScriptedNetwork, engine_on, http

HOSTS = ("a", "b", "c")
NEVER_ANSWERS = "slow"


@dataclass
class Model:
    """What each monitor that was ever made should be; None for a deleted one."""

    monitors: dict[str, tuple[str, bool] | None] = field(default_factory=dict)

    def alive(self) -> dict[str, tuple[str, bool]]:
        return {id: monitor for id, monitor in self.monitors.items() if monitor is not None}


operations = st.tuples(
    st.sampled_from(["add", "move", "pause", "resume", "delete"]),
    st.integers(0, 20),
    st.sampled_from([*HOSTS, NEVER_ANSWERS]),
    st.integers(0, 3),
)


async def apply(engine: Engine, model: Model, operation: str, which: int, host: str) -> None:
    if operation == "add" or not model.monitors:
        added = await engine.add(http(host, interval=1000, timeout=1000))
        model.monitors[added.entry.id] = (host, False)
        return
    id = list(model.monitors)[which % len(model.monitors)]
    known = model.monitors[id]
    try:
        match operation:
            case "move":
                await engine.update(id, {"url": f"http://{host}/", "name": host})
            case "pause":
                await engine.pause(id)
            case "resume":
                await engine.resume(id)
            case _:
                await engine.delete(id)
    except NoSuchMonitor:
        assert known is None
        return
    assert known is not None
    match operation:
        case "move":
            model.monitors[id] = (host, known[1])
        case "delete":
            model.monitors[id] = None
        case _:
            model.monitors[id] = (known[0], operation == "pause")


@settings(max_examples=50, deadline=None)
@given(st.lists(operations, max_size=60), st.booleans())
def test_a_storm_of_changes_ends_as_the_model_says(storm: list[tuple[str, int, str, int]], restarts: bool) -> None:
    network = ScriptedNetwork(a=lambda: [OK], b=lambda: [OK], c=lambda: [OK], slow=lambda: [float("inf")])
    store, model = MemoryStore(), Model()

    async def check(engine: Engine) -> None:
        await trio.sleep(5)
        shown = {snapshot.entry.id: snapshot for snapshot in engine.monitors()}
        assert set(shown) == set(model.alive())
        for id, (host, is_paused) in model.alive().items():
            entry, state, last, _ = shown[id]
            assert (entry.monitor.name, entry.paused) == (host, is_paused)
            if is_paused:
                assert state.status is Status.PAUSED
            else:
                assert state.status is (Status.DOWN if host == NEVER_ANSWERS else Status.UP)
                assert last is not None
        # Every monitor that is checked has one actor and no more.
        before = len(network.connections)
        await trio.sleep(10)
        checked = [host for host, is_paused in model.alive().values() if not is_paused]
        assert abs(len(network.connections) - before - 10 * len(checked)) <= len(checked)

    async def main() -> None:
        async with engine_on(network, store) as engine:
            for operation, which, host, pause in storm:
                await apply(engine, model, operation, which, host)
                await trio.sleep(pause / 1000)  # a thousand a second, and bursts
            await check(engine)
            assert engine.statistics().restarts == 0
        assert network.open == 0
        if restarts:
            async with engine_on(network, store) as engine:
                await check(engine)

    trio.run(main, clock=MockClock(autojump_threshold=0))


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
