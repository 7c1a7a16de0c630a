"""`kill -9` costs at most the heartbeats of the last quarter second, and no monitor."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from typing import Any

import trio

from tests.end_to_end.support import Nginx, Server, all_heartbeats, create_many

MAY_BE_LOST_S = 0.25
MONITORS = 20


async def test_a_killed_server_goes_on_where_it_was(server: Server, web: Nginx) -> None:
    seen: list[dict[str, Any]] = []
    connected, enough = trio.Event(), trio.Event()

    async def listen() -> None:
        async for event in client.events():
            if event["type"] == "connected":
                connected.set()
            elif event["type"] == "heartbeat":
                seen.append(event["data"])
                if len(seen) == 20 * MONITORS:
                    enough.set()

    async with server.async_client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await connected.wait()
        with server.client() as blocking:
            ids = create_many(blocking, web, MONITORS)
        with trio.fail_after(30):
            await enough.wait()
        killed_at = time.time()
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
        nursery.cancel_scope.cancel()

    answered = web.answers(before=killed_at - MAY_BE_LOST_S)
    server.start()
    with server.client() as blocking:
        monitors = blocking.monitors.list()
        stored = {id: [beat["timestamp"] for beat in all_heartbeats(blocking, id, before=killed_at)] for id in ids}
    assert [monitor["id"] for monitor in monitors] == ids
    assert {monitor["status"] for monitor in monitors} == {"up"}
    for event in seen:
        age = killed_at - datetime.fromisoformat(event["timestamp"]).timestamp()
        assert age <= MAY_BE_LOST_S or event["timestamp"] in stored[event["monitorId"]]
    for n, id in enumerate(ids):
        assert answered[f"/{n}"] <= len(stored[id])
