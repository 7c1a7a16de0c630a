"""Every verdict on a hundred targets that keep changing, held against what they really did."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import trio

from peekaping import Engine, Heartbeat, HttpMonitor, Status
from tests.end_to_end.fickle_target import mood
from tests.end_to_end.support import Process, free_port

TARGETS, CHECKED_FOR_S, TIMEOUT_S = 100, 15, 0.9
SLACK_S = 0.1
"""Between the target's clock and ours, and for a change in the middle of a check."""


async def test_no_outage_is_missed_and_none_invented(tmp_path: Path) -> None:
    port, since = free_port(), time.time()
    target = Process(port, [sys.executable, "-m", "tests.end_to_end.fickle_target", str(port), str(since)], tmp_path)
    await trio.to_thread.run_sync(target.start)
    seen: list[Heartbeat] = []
    try:
        async with Engine.open() as engine:
            paths = {}
            for number in range(TARGETS):
                url = f"http://127.0.0.1:{port}/{number}"
                timeout_ms, kept = round(1000 * TIMEOUT_S), number % 2 == 0
                monitor = HttpMonitor(
                    name=url, url=url, interval=1000, timeout=timeout_ms, keyword="good", keep_alive=kept
                )
                paths[(await engine.add(monitor)).entry.number] = f"/{number}"
            with engine.subscribe() as live, trio.move_on_after(CHECKED_FOR_S):
                async for heartbeat in live:
                    assert isinstance(heartbeat, Heartbeat)
                    seen.append(heartbeat)
    finally:
        target.stop()
    wrong = []
    for heartbeat in seen:
        ended = heartbeat.at / 1000
        began = ended - (TIMEOUT_S if heartbeat.response_ms is None else heartbeat.response_ms / 1000)
        moments = [began - SLACK_S + step * (ended - began + 2 * SLACK_S) / 20 for step in range(21)]
        moods = {mood(paths[heartbeat.monitor], since, at) for at in moments}
        possible = {Status.UP if how == "good" else Status.DOWN for how in moods}
        if heartbeat.status not in {*possible, Status.UNKNOWN}:  # which it is where this host was too busy to look
            wrong.append((heartbeat, moods))
    assert wrong == []
    told = Counter((heartbeat.status, heartbeat.reason) for heartbeat in seen)
    assert told[Status.UP, None] > 100
    assert told[Status.DOWN, "timeout"] > 20
    assert len(told) >= 6, "each kind of failure has a reason of its own"
