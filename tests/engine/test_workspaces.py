"""An engine that several share: what one workspace has, another neither lists, nor counts, nor hears of."""

from __future__ import annotations

import trio
import trio.testing

from peekaping.engine.records import Heartbeat, Status
from tests.engine.scripted import OK, ScriptedNetwork, engine_on, http


def sites() -> ScriptedNetwork:
    return ScriptedNetwork(mine=lambda: [OK], theirs=lambda: [OK], other=lambda: [OK])


async def test_lists_and_counts_are_a_workspaces_own(autojump_clock: trio.testing.MockClock) -> None:
    network = sites()
    async with engine_on(network) as engine:
        mine = await engine.add(http("mine"), 1)
        theirs = await engine.add(http("theirs"), 2)
        await trio.sleep(200)
        checks = {1: len(network.times("mine")), 2: len(network.times("theirs"))}
        for workspace, snapshot in ((1, mine), (2, theirs)):
            (listed,) = engine.monitors(workspace)
            assert listed.entry.id == snapshot.entry.id
            overview = await engine.overview(workspace)
            assert (overview.monitors, overview.by_status[Status.UP]) == (1, 1)
            assert overview.ever.checks == overview.day.checks == checks[workspace] >= 4
        everything = await engine.overview()
        assert (everything.monitors, everything.ever.checks) == (2, sum(checks.values()))
        assert engine.monitors(3) == []
        assert (await engine.overview(3)).ever.checks == 0
        await engine.delete(theirs.entry.id)
        assert engine.monitors(2) == []


async def test_a_subscription_follows_the_monitors_that_come_and_go(autojump_clock: trio.testing.MockClock) -> None:
    async def seen(seconds: float) -> set[str]:
        found: set[str] = set()
        with trio.move_on_after(seconds):
            async for item in live:
                assert isinstance(item, Heartbeat)
                found.add(item.monitor_id)
        return found

    async with engine_on(sites()) as engine:
        with engine.subscribe(workspace=1) as live:
            mine = await engine.add(http("mine"), 1)
            theirs = await engine.add(http("theirs"), 2)
            assert await seen(120) == {mine.entry.id}
            other = await engine.add(http("other"), 1)
            assert await seen(120) == {mine.entry.id, other.entry.id}
            live.narrow([other.entry.number, theirs.entry.number])
            assert await seen(120) == {other.entry.id}
            live.narrow(None)
            await engine.delete(other.entry.id)
            assert await seen(120) == {mine.entry.id}
