"""The store alone: how fast it takes heartbeats, what one weighs on disk, and what looking at three months costs.

Measured by `bench/storing.py` in a process of its own on the subject's core.
"""

from __future__ import annotations

import sys

import msgspec

from bench.figures import Figure
from bench.lab import Lab, output_of
from bench.storing import Stored


def run(lab: Lab) -> list[Figure]:
    monitors, batches = lab.pick((10_000, 400), (2000, 50))
    lab.tell("the store alone")
    command = [sys.executable, "-m", "bench.storing", lab.folder, str(monitors), str(batches)]
    output = output_of(lab, command, lab.subject_core, 600, "storing.log")
    stored = msgspec.json.decode(output, type=Stored)
    return [
        Figure(
            name="Heartbeats stored a second, in batches of 2,500",
            unit="1/s",
            ours=stored.heartbeats_per_s,
            better="more",
            goal=200_000,
        ),
        Figure(name="Disk of a heartbeat", unit="bytes", ours=[stored.bytes_per_heartbeat], goal=40),
        Figure(
            name=f"90 days of one monitor of {monitors:,}",
            unit="ms",
            ours=stored.quarter_ms,
            goal=10,
        ),
        Figure(name=f"Overview of {monitors:,} monitors", unit="ms", ours=stored.overview_ms, goal=20),
    ]
