"""A server with many monitors of one target, watched for a while from outside.

Checks are the good heartbeats in its database, each with the time at which it ended, so that nothing is counted that was not
stored, and nothing twice. From the same rows follows how late each began: its end, less its response time, less its slot, which
the schedule fixes in UTC (`engine/schedule.py`). That is good to two milliseconds, as long as the wall clock is not adjusted.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.figures import Figure
from bench.lab import Lab
from bench.server import BEATS, http_monitors, make_database, serving
from peekaping.engine.schedule import phase_ms

SETTLE_S = (10.0, 1.0)
"""After the first checks, in a full and in a quick run: what piled up at the start has drained by then."""
ROUNDING_MS = 2


class Steady(msgspec.Struct, frozen=True):
    """What one watch gave."""

    checks: int
    """Good ones, stored."""
    due: int
    bad: int
    """Stored, but the target did not answer with 200."""
    seconds: float
    cpu_us: float
    """CPU of the whole server process for each check."""
    core_share: float
    late_p99_ms: int
    late_max_ms: int
    kb: float | None
    """Resident memory of each monitor, over that of a server without any; None where nobody asked."""

    @property
    def made(self) -> float:
        """Good checks in percent of those due. An edge of the window may add one."""
        return min(100.0, 100 * self.checks / self.due)

    @property
    def core(self) -> float:
        """In percent of one."""
        return 100 * self.core_share

    def figures(self, name: str, **goals: float | None) -> list[Figure]:
        """The attributes named, as figures, each with its goal or None."""
        return [
            Figure(name=f"{name}: {what}", unit=unit, ours=[value], better=better, goal=goals[attribute])
            for attribute, (what, unit, better) in _SHOWN.items()
            if attribute in goals and (value := getattr(self, attribute)) is not None
        ]


_SHOWN: dict[str, tuple[str, str, Literal["less", "more"]]] = {
    "made": ("made of those due", "%", "more"),
    "late_p99_ms": ("late, 99th percentile", "ms", "less"),
    "late_max_ms": ("late, most", "ms", "less"),
    "core": ("of one core", "%", "less"),
    "cpu_us": ("CPU of a check", "µs", "less"),
    "kb": ("resident memory of each", "kB", "less"),
}


def watch(
    lab: Lab,
    monitors: int,
    url: str,
    interval_ms: int,
    seconds: float,
    *,
    base_kb: int | None = None,
    environment: dict[str, str] | None = None,
    **fields: Any,
) -> Steady:
    """Run a server with so many monitors and watch it for `seconds`, after an interval in which each is checked once.

    `base_kb` is the memory of a server without monitors, for who asks for that of each.
    """
    lab.tell(f"{monitors:,} monitors every {interval_ms / 1000:g} s")
    database = lab.folder / f"steady-{time.monotonic_ns()}.db"
    make_database(database, http_monitors(monitors, url, interval_ms, **fields))
    with serving(lab, database, **(environment or {})) as server:
        lab.wait(interval_ms / 1000 + lab.pick(*SETTLE_S))
        cpu_before, began = server.process.cpu_s(), time.time()
        lab.wait(seconds)
        cpu, ended = server.process.cpu_s() - cpu_before, time.time()
        kb = server.process.resident_kb()
    stored, good, late = _look(database, interval_ms, round(began * 1000), round(ended * 1000))
    elapsed = ended - began
    for file in lab.folder.glob(f"{database.stem}.*"):
        file.unlink()
    if not good:
        raise RuntimeError(f"none of {stored} checks was good")
    return Steady(
        checks=good,
        due=round(monitors * elapsed * 1000 / interval_ms),
        bad=stored - good,
        seconds=elapsed,
        cpu_us=cpu / good * 1e6,
        core_share=cpu / elapsed,
        late_p99_ms=_percentile(late, 0.99),
        late_max_ms=max(late),
        kb=None if base_kb is None else (kb - base_kb) / monitors,
    )


def late_p99_ms(database: Path, interval_ms: int, began_ms: int, ended_ms: int) -> int:
    """How late 99 % of the checks began at most that ended in that time; after the server has ended."""
    return _percentile(_look(database, interval_ms, began_ms, ended_ms)[2], 0.99)


@cache
def memory_without_monitors(lab: Lab) -> int:
    """Resident kB of a server that has nothing to do; measured once in a run."""
    lab.tell("a server without monitors")
    with serving(lab, lab.folder / f"empty-{time.monotonic_ns()}.db") as server:
        lab.wait(lab.pick(*SETTLE_S))
        return server.process.resident_kb()


def _look(database: Path, interval_ms: int, began_ms: int, ended_ms: int) -> tuple[int, int, Counter[int]]:
    """What ended in that time: how many checks, how many good ones, and how many of those that were answered began how many
    milliseconds late."""
    with closing(sqlite3.connect(database)) as connection:
        numbers = [number for (number,) in connection.execute("SELECT number FROM monitor")]
        connection.execute("CREATE TEMP TABLE slot (monitor INTEGER PRIMARY KEY, phase INTEGER)")
        phases = ((number, phase_ms(number, interval_ms)) for number in numbers)
        connection.executemany("INSERT INTO slot VALUES (?, ?)", phases)
        # Both clocks are cut to milliseconds, so that a check may seem to begin before its time.
        rows = connection.execute(
            f"""
            SELECT
                max(0, (at - response - phase + {ROUNDING_MS}) % ? - {ROUNDING_MS}) AS late,
                count(*), sum(ifnull(code, 0) = 200)
            FROM {BEATS} NATURAL JOIN slot WHERE at >= ? AND at < ? GROUP BY late
            """,
            (interval_ms, began_ms, ended_ms),
        ).fetchall()
    stored, good = sum(count for _, count, _ in rows), sum(good for _, _, good in rows)
    return stored, good, Counter({late: count for late, count, _ in rows if late is not None})


def _percentile(counts: Counter[int], fraction: float) -> int:
    """The least value that this fraction of all stays within."""
    rest = fraction * counts.total()
    for value in sorted(counts):
        rest -= counts[value]
        if rest <= 0:
            return value
    return 0
