"""Every row of the detection matrix, and the page that is printed from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.records import Status

from .detection_matrix import TABLE, Row, as_markdown, run

PAGE = Path(__file__).parents[2] / "docs" / "detection.md"
ROWS = [pytest.param(layer, row, id=f"{layer}: {row.what}") for layer, rows in TABLE.items() for row in rows]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize(("layer", "row"), ROWS)
def test_the_verdict_is_right_and_in_time(layer: str, row: Row) -> None:
    clock = MockClock(autojump_threshold=0) if row.virtual else None
    heartbeat, took_s, statistics, stored = trio.run(run, row, clock=clock)
    assert (heartbeat.status, heartbeat.reason) == (row.status, row.reason), heartbeat.message
    assert row.says in heartbeat.message
    assert heartbeat.message
    assert row.when.least_s <= took_s < row.when.most_s
    if layer == "This host":
        assert heartbeat.status is not Status.DOWN
    if heartbeat.status is Status.UNKNOWN:
        assert statistics.unknown_reasons == {row.reason: 1}
    assert statistics.faults == (row.reason in ("fault", "starved"))
    if row.virtual:
        assert statistics.backlog == 1, "shown while it waits"
        assert [beat.at for beat in stored][-1] == heartbeat.at, "and not lost"


def test_no_two_rows_are_the_same() -> None:
    whats = [row.what for rows in TABLE.values() for row in rows]
    assert len(set(whats)) == len(whats)


def test_the_page_says_what_the_table_says() -> None:
    assert PAGE.read_text() == as_markdown(), (
        "print it again: python -m tests.engine.detection_matrix > docs/detection.md"
    )
