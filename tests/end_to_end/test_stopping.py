"""SIGTERM ends the server within two seconds, whatever its clients do, and nothing that was checked is lost."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import Any

import trio

from peekaping import AsyncPeekapingClient
from tests.end_to_end.support import (
    Nginx,
    Server,
    all_heartbeats,
    create_many,
    login,
    unsent_bytes,
    until,
    websocket_that_never_reads,
)

PROMISE_S = 2.0
SLACK_S = 1.0
"""For starting to look at a busy machine's clock."""


async def watch(client: AsyncPeekapingClient, connected: trio.Event, seen: list[dict[str, Any]]) -> None:
    async for event in client.events():
        if event["type"] == "connected":
            connected.set()
        elif event["type"] == "heartbeat":
            seen.append(event["data"])


def test_a_stop_is_quick_and_clean(server: Server) -> None:
    began = time.monotonic()
    assert server.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < PROMISE_S + SLACK_S
    assert not server.database.with_name("peekaping.db-wal").exists(), "the database was not closed"


def test_ctrl_c_is_a_stop_too(server: Server) -> None:
    assert server.end(signal.SIGINT) == 0


async def test_a_client_that_never_reads_neither_holds_the_stop_nor_costs_data(server: Server, web: Nginx) -> None:
    seen: list[dict[str, Any]] = []
    connected = trio.Event()
    async with server.async_client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(watch, client, connected, seen)
        await connected.wait()
        with websocket_that_never_reads(server, login(server)) as stuck:
            with server.client() as blocking:
                ids = create_many(blocking, web, 60)
            look = partial(unsent_bytes, server, stuck)
            await trio.to_thread.run_sync(until, look, "a client that is stuck")
            began = time.monotonic()
            code = await trio.to_thread.run_sync(server.end, signal.SIGTERM)
            took, stopped_at = time.monotonic() - began, time.time()
        nursery.cancel_scope.cancel()
    answers = web.answers()
    assert code == 0
    assert took < PROMISE_S + SLACK_S

    server.start()
    with server.client() as blocking:
        stored = {id: all_heartbeats(blocking, id, before=stopped_at) for id in ids}
    timestamps = {(id, beat["timestamp"]) for id in ids for beat in stored[id]}
    assert len(seen) > len(ids)
    assert {(event["monitorId"], event["timestamp"]) for event in seen} <= timestamps
    for n, id in enumerate(ids):
        in_flight = answers[f"/{n}"] - len(stored[id])
        assert in_flight <= 1, "a check that was finished is missing"


async def test_a_client_that_never_answers_the_close_does_not_hold_the_stop(server: Server) -> None:
    with websocket_that_never_reads(server, login(server)):
        began = time.monotonic()
        assert await trio.to_thread.run_sync(server.end, signal.SIGTERM) == 0
        assert time.monotonic() - began < PROMISE_S + SLACK_S
