"""A start with many monitors: how soon it serves, and whether the first checks come evenly within one interval, no burst."""

from __future__ import annotations

from bench.figures import Figure
from bench.lab import Lab, target
from bench.server import BEATS, http_monitors, make_database, query, serving

MONITORS = 10_000
PARTS = 10


def run(lab: Lab) -> list[Figure]:
    interval_ms = lab.pick(60_000, 5000)
    with target(lab) as url:
        database = make_database(lab.folder / "start.db", http_monitors(MONITORS, url, interval_ms))
        lab.tell(f"a start with {MONITORS:,} monitors")
        with serving(lab, database) as server:
            lab.wait(interval_ms / 1000 + 2)
    firsts = f"(SELECT min(at) AS first FROM {BEATS} GROUP BY monitor)"
    began, within = query(
        database,
        f"SELECT min(first), sum(first <= (SELECT min(first) FROM {firsts}) + ?) FROM {firsts}",
        interval_ms + 1000,  # a check takes its time, and the second is still the same interval to anybody
    )
    (fullest,) = query(
        database,
        f"SELECT max(n) FROM (SELECT count(*) AS n FROM {firsts} WHERE first < ? GROUP BY (first - ?) * {PARTS} / ?)",
        began + interval_ms,
        began,
        interval_ms,
    )
    return [
        Figure(name=f"Start with {MONITORS:,} monitors, until it serves", unit="s", ours=[server.ready_s], goal=2),
        Figure(
            name="… first checks within one interval",
            unit="%",
            ours=[100 * within / MONITORS],
            better="more",
            goal=100,
        ),
        Figure(
            name="… first checks in the busiest tenth of it (evenly: 10 %)",
            unit="%",
            ours=[100 * fullest / MONITORS],
            goal=11,
        ),
    ]
