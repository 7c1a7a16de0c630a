"""What is read out of a server's database."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import trio

from bench.server import http_monitors, make_database
from bench.steady import _look, _percentile
from peekaping.engine.records import Heartbeat, Status
from peekaping.engine.schedule import phase_ms
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore

INTERVAL_MS = 2000
START = 1_700_000_000_000 - 1_700_000_000_000 % INTERVAL_MS


def test_checks_and_how_late_they_began_are_read_from_stored_rows(tmp_path: Path) -> None:
    path = make_database(tmp_path / "x.db", http_monitors(2, "http://127.0.0.1:9/", INTERVAL_MS))
    cases = [  # monitor, in which slot, late, took, status code
        (1, 0, 0, 5, 200),
        (1, 1, 30, 5, 200),
        (2, 0, -1, 0, 200),  # by rounding
        (2, 1, 30, 700, 503),
        (2, 9, 0, 0, 200),  # after the time that is looked at
    ]
    beats = [
        Heartbeat(
            number,
            START + slot * INTERVAL_MS + phase_ms(number, INTERVAL_MS) + late + took,
            Status.UP if code == 200 else Status.DOWN,
            "",
            response_ms=took,
            status_code=code,
        )
        for number, slot, late, took, code in cases
    ]

    async def store() -> None:
        database = Database.open(path)
        await SqliteStore(database).append(beats)
        await database.close()

    trio.run(store)
    stored, good, late = _look(path, INTERVAL_MS, START, START + 3 * INTERVAL_MS)
    assert (stored, good) == (4, 3)
    assert late == {0: 2, 30: 2}


def test_a_percentile_is_the_least_value_that_so_many_stay_within() -> None:
    counts = Counter({0: 98, 7: 1, 50: 1})
    assert [_percentile(counts, fraction) for fraction in (0.5, 0.98, 0.99, 1)] == [0, 0, 7, 50]
