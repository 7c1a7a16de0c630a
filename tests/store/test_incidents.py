"""Incidents in SQLite: what a page of them costs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from peekaping.store.database import Database
from peekaping.store.incidents import Incident, Incidents, Update
from peekaping.store.sqlite import SqliteStore
from tests.store.support import NOON, add

OF_MONITORS, ALL = "of monitors", "all"


async def make_incidents(database: Database, count: int, monitors: list[int]) -> None:
    """So many, a second apart, each about these monitors and with two updates."""

    def make(db: object) -> None:
        execute = database._writer.execute
        for n in range(count):
            values = (f"Trouble {n}", NOON + n * 1000)
            (number,) = execute(
                "INSERT INTO incident (title, status, started, workspace) VALUES (?, 'x', ?, 1) RETURNING number",
                values,
            ).fetchone()
            for monitor in monitors:
                execute("INSERT INTO incident_monitor VALUES (?, ?)", (number, monitor))
            for said in ("first", "second"):
                execute(
                    "INSERT INTO incident_update (incident, at, status, message) VALUES (?, 0, 'x', ?)", (number, said)
                )

    await database.write(make)


async def steps_of(database: Database, read: Callable[[], Awaitable[object]]) -> int:
    """How many steps SQLite's machine makes for it."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    for reader in database._readers:
        reader.conn.set_progress_handler(count, 1)
    await read()
    for reader in database._readers:
        reader.conn.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("which", [OF_MONITORS, ALL])
async def test_a_page_is_not_dearer_for_what_is_not_on_it(database: Database, which: str) -> None:
    incidents, monitors = Incidents(database), await add(SqliteStore(database), 2)
    await make_incidents(database, 20, monitors)

    async def read() -> list[Incident]:
        if which == OF_MONITORS:
            return await incidents.of_monitors(monitors, since=0, limit=10)
        _, found = await incidents.page(1, monitors=None, is_over=None, first=0, limit=10)
        return found

    few = await steps_of(database, read)
    await make_incidents(database, 1000, monitors)
    found = await read()
    assert [incident.title for incident in found] == [f"Trouble {n}" for n in range(999, 989, -1)]
    assert [update.message for update in found[0].updates] == ["second", "first"]
    assert len(found[0].monitors) == 2
    many = await steps_of(database, read)
    assert many - few < 40 * 1000, "to look at one and pass it over is a few steps, to compose it more than a hundred"


async def test_a_later_page_goes_on_where_the_first_ends(database: Database) -> None:
    incidents = Incidents(database)
    await make_incidents(database, 7, await add(SqliteStore(database), 2))
    pages = [await incidents.page(1, monitors=None, is_over=None, first=first, limit=3) for first in (0, 3, 6, 9)]
    assert {total for total, _ in pages} == {7}
    assert [[incident.title for incident in found] for _, found in pages] == [
        ["Trouble 6", "Trouble 5", "Trouble 4"], ["Trouble 3", "Trouble 2", "Trouble 1"], ["Trouble 0"], [],
    ]  # fmt: skip
    assert pages[0][1][0].updates == (Update(0, "x", "second"), Update(0, "x", "first"))
