"""Durable pushes over HTTP: each answer says that the heartbeat is in the database, and afterwards it is looked for there."""

from __future__ import annotations

import secrets

from bench.figures import Figure
from bench.lab import Lab
from bench.peers import wrk
from bench.server import BEATS, make_database, query, serving
from peekaping.engine.probes.push import PushMonitor

MONITORS = 1000
CONNECTIONS = 64

_WRK = """
local ids, at = {{ {ids} }}, 0
wrk.method = "POST"
wrk.body = '{{"status": "up", "ping": 12}}'
wrk.headers["Content-Type"] = "application/json"
request = function()
    at = at % #ids + 1
    return wrk.format(nil, "/api/v1/push/" .. ids[at])
end
"""


def run(lab: Lab) -> list[Figure]:
    ids = [secrets.token_urlsafe(16) for _ in range(MONITORS)]
    monitors = [PushMonitor(name=f"Job {number}", interval=3_600_000) for number in range(MONITORS)]
    database = make_database(lab.folder / "push.db", monitors, ids)
    script = lab.folder / "push.lua"
    script.write_text(_WRK.format(ids=", ".join(f'"{id}"' for id in ids)))
    rates: list[float] = []
    answered = 0
    lab.tell("pushes")
    with serving(lab, database) as server:
        for seconds in (lab.pick(2.0, 1.0), *(lab.pick(10.0, 2.0) for _ in lab.rounds())):  # the first warms up
            done = wrk(lab, server.url, CONNECTIONS, seconds, script)
            if done.refused:
                raise RuntimeError(f"{done.refused} of {done.requests} pushes were refused")
            answered += done.requests
            rates.append(done.requests / seconds)
    (stored,) = query(database, f"SELECT count(*) FROM {BEATS}")
    return [
        Figure(name="Durable pushes a second", unit="1/s", ours=rates[1:], better="more", goal=1500),
        # At the end of each round up to CONNECTIONS are stored whose answer nobody reads, so that this sees a loss of more than
        # that; what a kill takes away is looked at push by push in the tests.
        Figure(name="… answered and not stored", unit="", ours=[max(0, answered - stored)], goal=0),
    ]
