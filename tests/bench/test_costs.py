"""What a check costs, in what does not depend on the machine: steps of the event loop, system calls, bytes on disk.

The numbers are exact where the code alone decides them. One that grows is a decision to be made, not a test to be adjusted.
"""

from __future__ import annotations

import select
import socket
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from bench.server import http_monitors, make_database
from bench.storing import BATCH, compact, ingest
from peekaping.engine.net import connection, readiness
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor, prepare
from peekaping.engine.records import Status

from ..engine.scripted import OK, ScriptedNetwork, engine_on, http

SECONDS = 4
MONITORS = 500


class Steps(trio.abc.Instrument):
    """Counts the steps of each kind of task."""

    def __init__(self) -> None:
        self.of = Counter[str]()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.of[task.name] += 1


async def test_a_check_is_one_step_for_each_wait(autojump_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        for number in range(MONITORS):
            await engine.add(http(name=f"Site {number}", interval=1000))
        await trio.sleep(2)  # each is in its slot now
        await trio.testing.wait_all_tasks_blocked()
        steps, before = Steps(), engine.statistics().checks
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(SECONDS)
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(steps)
        checks = engine.statistics().checks - before
    assert checks == MONITORS * SECONDS
    actors = sum(count for name, count in steps.of.items() if name.endswith("Director._keep"))
    everything = sum(steps.of.values())
    # It is woken when due; the scripted network then waits once to connect, to send and to receive.
    assert actors == 4 * checks
    # The rest is shared by the checks that come together: a wake-up of the timekeeper for each moment at which any is due,
    # and the batches of writer, hub and statistics, whose number goes by time. The test's own task takes two.
    assert everything - actors <= 1.3 * checks


async def test_a_plain_check_makes_these_system_calls_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Counted(socket.SocketType):
        def __init__(self, *arguments: Any) -> None:
            calls.append("socket")
            super().__init__(*arguments)

        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if name.startswith("_") or name in ("fileno", "family", "type", "proto") or not callable(found):
                return found  # these ask nobody

            def call(*arguments: Any) -> Any:
                calls.append(name)
                return found(*arguments)

            return call

    class CountedEpoll:
        """What of it concerns one check; looking what is ready is shared by all."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.fileno, self.poll, self.close = self._epoll.fileno, self._epoll.poll, self._epoll.close

        def register(self, descriptor: int, events: int) -> None:
            calls.append("epoll.register")
            self._epoll.register(descriptor, events)

        def modify(self, descriptor: int, events: int) -> None:
            calls.append("epoll.modify")
            self._epoll.modify(descriptor, events)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65536)
            await stream.send_all(OK)

    monkeypatch.setattr(connection, "socket", SimpleNamespace(**{**vars(socket), "SocketType": Counted}))
    monkeypatch.setattr(readiness, "select", SimpleNamespace(epoll=CountedEpoll))
    seen = Counter[tuple[str, ...]]()
    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, answer, 0)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
        monitor = parse_monitor({"type": "http", "name": "x", "url": url}, min_interval_ms=1000)
        probe = prepare(monitor, HostNetwork(EgressGuard()))
        for _ in range(20):
            calls.clear()
            assert (await probe(Trace())).status is Status.UP
            seen[tuple(calls)] += 1
        nursery.cancel_scope.cancel()
    # Nearly all checks: on a busy machine a connection may take a moment, and is waited for.
    ((usual, count),) = seen.most_common(1)
    # The name is asked for because the target's port is one that this host may have given to the probe itself.
    assert usual == ("socket", "connect_ex", "connect_ex", "getsockname", "send", "epoll.register", "recv", "close")
    assert count >= 15


def test_a_heartbeat_of_a_healthy_monitor_takes_21_to_22_bytes_on_disk(tmp_path: Path) -> None:
    monitors, batches = 50, 20
    path = make_database(tmp_path / "peekaping.db", http_monitors(monitors, "http://127.0.0.1:9/", 60_000))
    before = compact(path)
    trio.run(ingest, path, monitors, batches)
    # Monitor, time, response and code, and what the table's pages need.
    assert 21 < (compact(path) - before) / (batches * BATCH) < 22
