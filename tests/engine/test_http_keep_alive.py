"""A connection kept from one check to the next: used again, let go in time, and never the cause of a false outage."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.engine import Engine
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.probes.http_probe import HttpProbe
from peekaping.engine.records import Outcome, Status

from .scripted import OK, ScriptedNetwork, Step, collect, engine_on, http
from .sites import authority, moved
from .targets import issued, saying, server_context, serving

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
RESET = Failed(DOWN, "connection_reset", "Connection reset by the target")


def scripts(*connections: list[Step]) -> ScriptedNetwork:
    """A site that answers over one connection after the other by these scripts."""
    remaining = list(connections)
    return ScriptedNetwork(site=lambda: remaining.pop(0))


@asynccontextmanager
async def probing(network: Any, **fields: Any) -> AsyncGenerator[HttpProbe, None]:
    data = {"type": "http", "name": "x", "url": "http://site/", "keepAlive": True, **fields}
    monitor = parse_monitor(data, min_interval_ms=1000)
    assert isinstance(monitor, HttpMonitor)
    probe = HttpProbe(monitor, network)
    try:
        yield probe
    finally:
        probe.close()
    probe.close()  # twice is fine
    if isinstance(network, ScriptedNetwork):
        assert network.open == 0, "no connection is left open"


async def verdicts(network: ScriptedNetwork, count: int, **fields: Any) -> list[tuple[Status, str | None]]:
    found: list[Outcome] = []
    async with probing(network, **fields) as probe:
        for _ in range(count):
            found.append(await probe(Trace()))
            assert network.open <= 1
    return [(outcome.status, outcome.reason) for outcome in found]


async def test_the_connection_is_used_again() -> None:
    network = scripts([OK, OK, OK])
    assert await verdicts(network, 3) == [(UP, None)] * 3
    assert len(network.connections) == 1
    assert all(b"Connection:" not in request for request in network.requests)


async def test_without_keep_alive_it_is_not() -> None:
    network = scripts([OK, OK], [OK])
    assert await verdicts(network, 2, keepAlive=False) == [(UP, None)] * 2
    assert len(network.connections) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"H",
        OK + OK,
        OK + b"\x00garbage",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    ],
)
async def test_a_connection_that_no_answer_may_follow_on_is_not_kept(answer: bytes) -> None:
    network = scripts([answer, OK], [OK])
    assert await verdicts(network, 2, expectedStatusCodes=[200, 101]) == [(UP, None)] * 2
    assert len(network.connections) == 2


async def test_neither_is_one_whose_answer_was_not_read_to_its_end() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50
    network = scripts([long, b"x" * 50, OK], [OK])
    assert await verdicts(network, 2, maxBodyBytes=10) == [(UP, None)] * 2
    assert len(network.connections) == 2


async def test_a_body_after_the_answer_to_head_is_not_taken_for_the_next_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    network = scripts([head, head], [OK])
    assert await verdicts(network, 2, method="HEAD") == [(UP, None)] * 2
    assert len(network.connections) == 1
    network = scripts([head + b"ok", head], [head])
    assert await verdicts(network, 2, method="HEAD") == [(UP, None)] * 2
    assert len(network.connections) == 2


@pytest.mark.parametrize(
    "idle_end",
    [
        [],
        [RESET],
        [Failed(UNKNOWN, "local_error", "?")],
        [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"],
        [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"],
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_closed_while_idle_it_is_tried_once_more(idle_end: list[Step], method: str) -> None:
    network = scripts([OK, *idle_end], [OK])
    assert await verdicts(network, 2, method=method) == [(UP, None)] * 2
    assert len(network.connections) == 2


@pytest.mark.parametrize(
    ("second", "reason"), [([], "empty_answer"), ([RESET, OK], "connection_reset"), ([b"HTTP/1.1 4"], "empty_answer")]
)
async def test_but_only_once(second: list[Step], reason: str) -> None:
    network = scripts([OK], second, [OK])
    found = await verdicts(network, 2)
    assert found == [(UP, None), (DOWN, reason)]
    assert len(network.connections) == 2


async def test_an_answer_that_breaks_off_is_the_targets_failure() -> None:
    network = scripts([OK, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"], [OK])
    assert await verdicts(network, 2) == [(UP, None), (DOWN, "body_cut_short")]
    assert len(network.connections) == 1


async def test_a_real_408_is_the_answer() -> None:
    timeout = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    assert await verdicts(scripts([timeout]), 1) == [(DOWN, "status_code")]


async def test_the_second_try_has_no_second_budget(autojump_clock: MockClock) -> None:
    network = scripts([OK, 0.8, RESET], [0.8, OK])
    async with engine_on(network) as engine:
        began = trio.current_time()

        async def add() -> None:
            await engine.add(http(keepAlive=True, interval=30_000, timeout=1000))

        _, second = await collect(engine, 2, then=add)
    assert (second.status, second.reason) == (DOWN, "timeout")
    assert network.connections[1][0] - network.connections[0][0] <= 30 + 0.8
    assert trio.current_time() - began < 60


def fall_silent(stream: trio.SocketStream) -> None:
    """From now on the kernel drops what arrives for this socket before TCP sees it: nothing is acknowledged, as when a path is
    gone without a word. A filter of one instruction: keep no byte (`man 7 socket`, SO_ATTACH_FILTER)."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    stream.socket.setsockopt(socket.SOL_SOCKET, 26, program)


async def test_a_kept_connection_that_leads_nowhere_any_more_is_noticed_in_half_the_time() -> None:
    answered = 0

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal answered
        await stream.receive_some(65536)
        await stream.send_all(OK)
        answered += 1
        fall_silent(stream)
        await trio.sleep_forever()

    async with serving(handle) as port:
        url = f"http://127.0.0.1:{port}/"
        async with probing(HostNetwork(EgressGuard()), url=url) as probe:
            for _ in range(2):
                with trio.fail_after(3):
                    assert (await probe(Trace())).status is UP
    assert answered == 2


async def test_a_request_that_may_not_fit_into_a_window_goes_over_a_new_connection() -> None:
    """A target that works before it reads closes its window, which is no dead path."""
    network = scripts([OK], [OK], [OK])
    assert await verdicts(network, 3, method="POST", body="x" * 20_000) == [(UP, None)] * 3
    assert len(network.connections) == 3


async def test_a_target_that_is_slow_to_answer_has_all_the_time_on_a_kept_connection(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [6.0, OK, 9.0, OK, 6.0, OK])
    async with probing(network) as probe:
        for _ in range(3):
            with trio.fail_after(10):
                assert (await probe(Trace())).status is UP
    assert network.times("site") == [0]


async def test_an_answer_that_has_begun_may_take_all_of_it(autojump_clock: MockClock) -> None:
    network = scripts([OK, OK[:10], 9.0, OK[10:]])
    async with probing(network) as probe:
        await probe(Trace())
        with trio.fail_after(10):
            assert (await probe(Trace())).status is UP
    assert network.times("site") == [0]


async def test_a_connection_that_lay_idle_for_long_is_not_used(autojump_clock: MockClock) -> None:
    network = scripts([OK, OK, OK], [OK])
    async with probing(network) as probe:
        for pause in (60, 61, 0):
            await probe(Trace())
            await trio.sleep(pause)
        assert network.times("site") == [0, 121]
        assert network.open == 1


async def test_now_and_then_a_new_connection_is_made(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK] * 100)
    async with probing(network) as probe:
        for _ in range(45):
            await probe(Trace())
            await trio.sleep(30)
    assert network.times("site") == [0, 630, 1260]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("rest", [b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n", None])
async def test_a_connection_on_which_something_came_is_not_used(rest: bytes | None, scheme: str) -> None:
    connections = 0
    context = server_context(issued(authority()))
    go_on, done = trio.Event(), trio.Event()

    async def handle(plain: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        stream = trio.SSLStream(plain, context, server_side=True) if scheme == "https" else plain
        await stream.receive_some(65536)
        await stream.send_all(OK)
        await go_on.wait()
        if rest is None:
            await stream.aclose()
        else:
            await stream.send_all(rest)
        done.set()
        await trio.sleep_forever()

    async with serving(handle) as port:
        fields = {"url": f"{scheme}://localhost:{port}/", "tlsCa": authority().cert_pem.bytes().decode()}
        async with probing(HostNetwork(EgressGuard()), **fields) as probe:
            with trio.fail_after(10):
                assert (await probe(Trace())).status is UP
                go_on.set()
                await done.wait()
                outcome = await probe(Trace())
                assert (outcome.status, outcome.status_code) == (UP, 200)
    assert connections == 2


async def test_redirects_are_followed_over_connections_of_their_own() -> None:
    remaining: list[list[Step]] = [[moved("http://other/"), moved("/here"), moved("http://other/")], [OK]]
    network = ScriptedNetwork(site=lambda: remaining.pop(0), other=lambda: [OK])
    assert await verdicts(network, 3) == [(UP, None)] * 3
    assert [host for _, host, _, _ in network.connections] == ["site", "other", "site", "other"]


async def test_a_cancelled_check_closes_what_was_kept(autojump_clock: MockClock) -> None:
    network = scripts([OK, 10.0], [10.0])
    async with probing(network) as probe:
        await probe(Trace())
        assert network.open == 1
        with trio.move_on_after(1):
            await probe(Trace())
        assert network.open == 0


@pytest.mark.parametrize("end", ["pause", "delete", "update", "stop"])
async def test_a_monitor_that_ends_closes_what_it_kept(end: str, autojump_clock: MockClock) -> None:
    network = scripts([OK, OK, OK])
    async with engine_on(network) as engine:
        id = (await engine.add(http(keepAlive=True, interval=60_000))).entry.id
        await trio.sleep(100)
        assert (network.open, len(network.connections)) == (1, 1)
        if end == "update":
            network.targets["new"] = [OK]
            await engine.update(id, {"url": "http://new/", "keepAlive": False})
            await trio.sleep(1)
        elif end != "stop":
            await getattr(engine, end)(id)
        assert network.open == (1 if end == "stop" else 0)
    assert network.open == 0


async def test_over_real_tls_the_handshake_is_made_once() -> None:
    handshakes = 0
    context = server_context(issued(authority()))

    async def handle(plain: trio.SocketStream) -> None:
        nonlocal handshakes
        stream = trio.SSLStream(plain, context, server_side=True)
        for _ in range(2):
            await stream.receive_some(65536)
            await stream.send_all(OK)
        handshakes += 1
        await stream.aclose()

    async with serving(handle) as port:
        url = f"https://localhost:{port}/"
        ca = authority().cert_pem.bytes().decode()
        async with probing(HostNetwork(EgressGuard()), url=url, tlsCa=ca, checkCertExpiry=True) as probe:
            for number in range(4):
                trace = Trace()
                with trio.fail_after(5):
                    outcome = await probe(trace)
                assert outcome.status is UP
                assert outcome.phases is not None
                assert (outcome.phases.tls_us is None) == (number % 2 == 1), "closed by the target after two"
    assert handshakes == 2


async def test_a_target_that_restarts_is_up_throughout() -> None:
    async with Engine.open(network=HostNetwork(EgressGuard()), min_interval_ms=100) as engine, trio.open_nursery() as n:
        async with serving(saying(OK)) as port:  # says it keeps the connection, and closes it after each answer
            fields = http(url=f"http://127.0.0.1:{port}/", keepAlive=True, interval=100)

            async def add() -> None:
                await engine.add(fields)

            beats = await collect(engine, 5, then=add)
            n.cancel_scope.cancel()
    assert {beat.status for beat in beats} == {UP}
