"""The main job: a real web server goes down and comes back, and everything that tells of it tells the same."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import trio

from tests.end_to_end.support import Server, Target, all_heartbeats, until

INTERVAL_MS = 150


def milliseconds(timestamp: str) -> int:
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def time_by_status(heartbeats: list[dict[str, Any]]) -> dict[str, int]:
    """The rule of the uptime figure, said again in its shortest form: a heartbeat's status lasts to the next heartbeat,
    and while a failure is pending what was certain before it goes on."""
    time = {"up": 0, "down": 0}
    certain = "up"
    for this, following in pairwise(heartbeats):
        if this["status"] in time:
            certain = this["status"]
        time[certain] += milliseconds(following["timestamp"]) - milliseconds(this["timestamp"])
    return time


async def test_an_outage_is_seen_stored_counted_and_told_alike(server: Server, target: Target) -> None:
    events: list[dict[str, Any]] = []
    connected = trio.Event()
    # What is told before anybody waits for it is kept: a first check may be told of before the answer to "create" is read.
    statuses_told, statuses_read = trio.open_memory_channel[str](100)

    async def listen() -> None:
        async for event in client.events():
            if event["type"] == "connected":
                connected.set()
                continue
            events.append(event)
            if event["type"] == "monitor_status":
                statuses_told.send_nowait(event["data"]["newStatus"])

    async def see(status: str) -> None:
        with trio.fail_after(20):
            while await statuses_read.receive() != status:
                pass

    async with server.async_client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await connected.wait()
        monitor = await client.monitors.create(
            {"type": "http", "name": "web", "url": target.url, "interval": INTERVAL_MS, "timeout": 100, "retries": 2}
        )
        await see("up")
        target.stop()
        await see("down")
        assert (await client.monitors.get(monitor["id"]))["status"] == "down"
        assert (await client.overview())["monitorsDown"] == 1
        target.start()
        await see("up")
        await client.monitors.pause(monitor["id"])
        await see("paused")
        nursery.cancel_scope.cancel()

    with server.client() as blocking:
        until(
            lambda: blocking.monitors.heartbeats(monitor["id"], limit=1)[0]["status"] == "paused", "the last heartbeat"
        )
        until(lambda: blocking.monitors.stats(monitor["id"])["time"]["paused"], "the pause in the statistics")
        stored = all_heartbeats(blocking, monitor["id"])
        stats = blocking.monitors.stats(monitor["id"])

        def told_at_last() -> dict[str, Any] | None:  # an answer may be kept for a moment, where the host is slow
            overview = blocking.overview()
            return overview if overview["uptime"]["24h"] == stats["uptime"] else None

        overview = until(told_at_last, f"an overview that says {stats['uptime']} % too")

    told = [event["data"] for event in events if event["type"] == "heartbeat"]
    shared = ("monitorId", "status", "responseTime", "timestamp")
    assert told == [{name: heartbeat[name] for name in shared} for heartbeat in stored]

    changes = [
        (event["data"]["oldStatus"], event["data"]["newStatus"]) for event in events if "oldStatus" in event["data"]
    ]
    assert changes == [("pending", "up"), ("up", "pending"), ("pending", "down"), ("down", "up"), ("up", "paused")]
    statuses = [heartbeat["status"] for heartbeat in stored]
    assert statuses.count("pending") == 2, "as many failures as there are retries"
    assert {heartbeat["message"] for heartbeat in stored if heartbeat["status"] == "up"} == {"OK"}
    assert {heartbeat["reason"] for heartbeat in stored if heartbeat["status"] == "down"} == {"connection_refused"}

    time = time_by_status(stored)
    assert stats["time"]["up"] == time["up"]
    assert stats["time"]["down"] == time["down"]
    assert abs(stats["uptime"] - 100 * time["up"] / (time["up"] + time["down"])) <= 0.001
    assert stats["totalChecks"] == overview["totalChecks"] == len(stored) - 1
    assert stats["failedChecks"] == statuses.count("down") + statuses.count("pending")
