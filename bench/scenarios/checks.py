"""What one plain HTTP check costs with a new connection: the whole path, from the schedule to the row in the database.

The peers do less. blackbox_exporter probes and renders its metrics, the client libraries make the request; nobody but us
schedules, judges and stores. The bare system calls (`bare.py`) are the floor under all of them. blackbox_exporter is asked over
kept connections, which is to its advantage.
"""

from __future__ import annotations

from bench import peers
from bench.charts import BESIDE
from bench.figures import Figure
from bench.lab import Lab, Unavailable, target
from bench.steady import watch

MONITORS, INTERVAL_MS = 5000, 1000
"""A rate that one core makes: blackbox_exporter is asked as fast as it answers, too."""
BARE = "bare system calls"


def run(lab: Lab) -> list[Figure]:
    seconds, requests = lab.pick(10.0, 3.0), lab.pick(5000, 500)
    ours: list[float] = []
    theirs: dict[str, list[float]] = {"blackbox_exporter": [], BARE: [], **{name: [] for name in peers.LIBRARIES}}
    libraries = {}
    for name in peers.LIBRARIES:
        try:
            libraries[name] = peers.library(lab, name)
        except Unavailable as error:
            lab.skipped[name] = str(error)
    with target(lab) as url:
        for _ in lab.rounds():
            ours.append(watch(lab, MONITORS, url, INTERVAL_MS, seconds).cpu_us)
            if "blackbox_exporter" not in lab.skipped:
                try:
                    theirs["blackbox_exporter"].append(_blackbox(lab, url, seconds))
                except Unavailable as error:
                    lab.skipped["blackbox_exporter"] = str(error)
            theirs[BARE].append(peers.bare_cost(lab, url, requests))
            for name, python in libraries.items():
                theirs[name].append(peers.cost_of(lab, name, python, url, requests))
    return [
        Figure(
            name=f"{BESIDE} {name}",
            unit="µs",
            ours=ours,
            peer=name,
            peers=rounds,
            goal=0.2 if name == "blackbox_exporter" else None,
            goal_for="ratio",
        )
        for name, rounds in theirs.items()
        if rounds
    ]


def _blackbox(lab: Lab, url: str, seconds: float) -> float:
    lab.tell("blackbox_exporter")
    with peers.blackbox(lab, url) as (process, asking):
        peers.wrk(lab, asking, 10, 1)
        before = process.cpu_s()
        done = peers.wrk(lab, asking, 10, seconds)
        if done.refused:
            raise RuntimeError(f"blackbox_exporter refused {done.refused} of {done.requests} probes")
        return (process.cpu_s() - before) / done.requests * 1e6
