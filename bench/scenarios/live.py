"""Live events to a hundred subscribers of everything, one of whom has stopped reading."""

from __future__ import annotations

import sys

import msgspec

from bench.figures import Figure
from bench.lab import Lab, output_of, target
from bench.server import http_monitors, make_database, serving
from bench.subscribers import Heard

SUBSCRIBERS = 100
MONITORS, INTERVAL_MS = 220, 1000
"""220 heartbeats a second to 99 who read are 21,780 messages a second: somewhat more than the goal."""

OFFERED = MONITORS * 1000 // INTERVAL_MS * (SUBSCRIBERS - 1)


def run(lab: Lab) -> list[Figure]:
    seconds = lab.pick(40, 3)
    with target(lab) as url:
        database = make_database(lab.folder / "live.db", http_monitors(MONITORS, url, INTERVAL_MS))
        with serving(lab, database) as server:
            lab.wait(2 * INTERVAL_MS / 1000)
            lab.tell(f"live events to {SUBSCRIBERS} subscribers")
            port = server.url.rpartition(":")[2]
            command = [sys.executable, "-m", "bench.subscribers", port, server.token(), str(SUBSCRIBERS), str(seconds)]
            before = server.process.cpu_s()
            output = output_of(lab, command, lab.other_core, seconds + 60, "subscribers.log")
            cpu_s = server.process.cpu_s() - before
    heard = msgspec.json.decode(output, type=Heard)
    return [
        Figure(
            name=f"Live messages a second to {SUBSCRIBERS} subscribers, one of them stalled, of {OFFERED:,} offered",
            unit="1/s",
            ours=heard.per_s,
            better="more",
            goal=20_000,
        ),
        Figure(
            name="… missed by those who read", unit="%", ours=[100 * heard.dropped / max(1, heard.messages)], goal=0
        ),
        Figure(name="… CPU of a message, checks included", unit="µs", ours=[cpu_s / max(1, heard.all_messages) * 1e6]),
    ]
