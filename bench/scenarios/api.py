"""What looking costs: ten kinds of GET beside a route that does nothing, with ten thousand monitors; and whether many who look
at once disturb the checks.
"""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from bench.figures import Figure
from bench.lab import Lab, Process, started, target
from bench.peers import wrk
from bench.server import Server, http_monitors, make_database, pause_all, serving
from bench.steady import late_p99_ms
from peekaping.engine.clock import utc_ms

MONITORS, INTERVAL_MS = 10_000, 2000
CONNECTIONS, CROWD = 10, 200
PATHS = (
    "/monitors",
    "/monitors?page=100&limit=100",
    "/monitors/monitor-5000",
    "/monitors/monitor-5000/heartbeats?limit=20",
    "/monitors/monitor-5000/stats?period=24h",
    "/stats/overview",
    "/status-pages/main",
    "/notification-channels",
    "/incidents",
    "/auth/me",
)


def run(lab: Lab) -> list[Figure]:
    seconds = lab.pick(5.0, 1.0)
    with started([sys.executable, "-m", "bench.bare_app"], lab.subject_core, lab.folder / "bare.log") as process:
        url = f"http://127.0.0.1:{process.port()}/"
        bare_us = _cpu_us(lab, process, url, seconds)
    database = make_database(lab.folder / "api.db", http_monitors(MONITORS, "http://127.0.0.1:9/", 3_600_000))
    pause_all(database)  # a start checks within a minute what was never checked
    figures = []
    with serving(lab, database) as server:
        _make_page(server)
        script = _with_token(lab, server)
        for path in PATHS:
            lab.tell(f"GET {path}")
            url = f"{server.url}/api/v1{path}"
            ours = _cpu_us(lab, server.process, url, seconds, script)
            figures.append(
                Figure(
                    name=f"CPU of GET {path} with {MONITORS:,} monitors",
                    unit="µs",
                    ours=[ours],
                    peer="a bare route",
                    peers=[bare_us],
                    goal=2,
                    goal_for="ratio",
                )
            )
    return figures + _crowd(lab)


def _cpu_us(lab: Lab, process: Process, url: str, seconds: float, script: Path | None = None) -> float:
    if not lab.quick:
        wrk(lab, url, CONNECTIONS, 1, script)  # warms up
    before = process.cpu_s()
    done = wrk(lab, url, CONNECTIONS, seconds, script)
    if done.refused:
        raise RuntimeError(f"{done.refused} of {done.requests} were refused: {url}")
    return (process.cpu_s() - before) / done.requests * 1e6


def _crowd(lab: Lab) -> list[Figure]:
    """Two hundred clients, each asking one thing after the other, while 5,000 checks a second go on."""
    seconds = lab.pick(30.0, 3.0)
    with target(lab) as url:
        database = make_database(lab.folder / "crowd.db", http_monitors(MONITORS, url, INTERVAL_MS))
        with serving(lab, database) as server:
            lab.wait(INTERVAL_MS / 1000 + lab.pick(10.0, 1.0))
            script = _with_token(lab, server)
            began = utc_ms()
            lab.wait(seconds)
            alone = utc_ms()
            lab.tell(f"{CROWD} clients")
            done = wrk(lab, f"{server.url}/api/v1/monitors", CROWD, seconds, script)
            ended = utc_ms()
    return [
        Figure(
            name=f"{CROWD} clients at once, 99th percentile beside their median",
            unit="ms",
            ours=[done.p99_ms],
            peer="median",
            peers=[done.p50_ms],
            goal=10,
            goal_for="ratio",
        ),
        Figure(
            name="… how late checks begin meanwhile, 99th percentile",
            unit="ms",
            ours=[late_p99_ms(database, INTERVAL_MS, alone, ended)],
            peer="without them",
            peers=[late_p99_ms(database, INTERVAL_MS, began, alone)],
            goal=2,
            goal_for="ratio",
        ),
    ]


def _make_page(server: Server) -> None:
    httpx.post(
        f"{server.url}/api/v1/status-pages",
        json={"slug": "main", "title": "Main", "published": True, "monitors": [f"monitor-{n}" for n in range(1, 21)]},
        headers={"Authorization": f"Bearer {server.token()}"},
    ).raise_for_status()


def _with_token(lab: Lab, server: Server) -> Path:
    script = lab.folder / "token.lua"
    script.write_text(f'wrk.headers["Authorization"] = "Bearer {server.token()}"\n')
    return script
