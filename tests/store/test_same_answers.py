"""Whatever happens in whatever order, SQLite and memory give the same answers."""

from __future__ import annotations

import tempfile
from operator import attrgetter
from pathlib import Path
from typing import Any
from unittest import mock

import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from peekaping.engine.accounting import DAY, HOUR, MINUTE, SPANS, Bucket
from peekaping.engine.memory import MemoryStore
from peekaping.engine.ports import Store
from peekaping.engine.records import Entry, Heartbeat, Status
from peekaping.store import heartbeats, pruning
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore
from tests.store.support import certificate, monitor, prune

STATUSES = list(Status)
NUMBERS = st.integers(1, 4)
TIMES = st.builds(
    lambda day, tick: day * DAY + tick * 25_000, st.integers(0, 22).map(lambda n: n * n), st.integers(0, 9)
)


def heartbeat_at(number: int, at: int) -> Heartbeat:
    """Stored again, a heartbeat is the same one: what it says follows from its name."""
    status = STATUSES[(number + at // 25_000) % len(STATUSES)]
    return Heartbeat(
        monitor=number, at=at, status=status, message=f"at {at}" if at % 3 else "OK", reason=None if at % 2 else "why",
        response_ms=at % 7 or None, transition=at % 4 == 0, is_check=at % 5 > 0,
        certificate=certificate(f"{at % 11:x}") if at % 3 == 0 else None,
    )  # fmt: skip


def minute_at(number: int, start: int) -> Bucket:
    n = start // MINUTE % 9
    return Bucket(
        monitor=number, start=start, up=n, down=60 - n, checks=n, responses=n, response_sum=n,
        response_min=n or None, response_max=n * 3 or None, sketch={n: n} if n else {},
    )  # fmt: skip


BATCHES = st.lists(st.builds(heartbeat_at, NUMBERS, TIMES), max_size=12)
MINUTES = st.lists(st.builds(minute_at, NUMBERS, TIMES.map(lambda at: at - at % MINUTE)), max_size=8)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add")),
        st.tuples(st.just("replace"), NUMBERS),
        st.tuples(st.just("remove"), NUMBERS),
        st.tuples(st.just("append"), BATCHES),
        st.tuples(st.just("append"), BATCHES),
        st.tuples(st.just("roll_up"), MINUTES),
        st.tuples(st.just("prune"), TIMES),
        st.tuples(st.just("reopen")),
    ),
    max_size=20,
)


async def carry_out(store: Store, given: int, name: str, *arguments: Any) -> None:
    """Do one thing to a store that has given out `given` numbers so far: nobody knows of others."""
    await trio.lowlevel.checkpoint()
    match name:
        case "add":
            await store.add(monitor(), now_ms=0, push_id=None)
        case "replace":
            await store.replace(Entry(arguments[0], monitor("Changed"), 0, 5, paused=True, target_ms=9 * DAY + 1))
        case "prune":
            await prune(store, arguments[0])
        case "remove":
            await store.remove(arguments[0])
        case "append":
            await store.append([heartbeat for heartbeat in arguments[0] if heartbeat.monitor <= given])
        case "roll_up":
            await store.roll_up([bucket for bucket in arguments[0] if bucket.monitor <= given])


async def answers(store: Store, *, looks_at_all: bool) -> list[object]:
    """All that a store can be asked. To be loaded moves SQLite's recent heartbeats, so it is not always asked that."""
    found: list[object] = []
    for number in range(1, 5):
        found.append(await store.heartbeats(number, limit=100))
        found.append(await store.heartbeats(number, from_ms=16 * DAY, to_ms=49 * DAY + 50_000, limit=3))
        found += [await store.buckets(number, span, from_ms=0, to_ms=500 * DAY) for span in SPANS]
        found.append(await store.outages(number, from_ms=0, to_ms=500 * DAY, limit=100))
        found.append(await store.outages(number, from_ms=DAY + 50_000, to_ms=49 * DAY + 100_000, limit=2))
    found += [await store.totals(span, from_ms=30 * DAY, to_ms=90 * DAY) for span in (HOUR, DAY)]
    found += [await store.sums([4, 2, 1, 3], span, from_ms=DAY, to_ms=90 * DAY) for span in SPANS]
    found.append(
        sorted(await store.days([4, 2, 1, 3], from_ms=DAY, to_ms=90 * DAY), key=attrgetter("monitor", "start"))
    )
    if looks_at_all:
        found += [await store.load(), await store.tails([4, 2, 1, 3])]
    return found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(OPERATIONS, st.integers(1, 5))
@example([("roll_up", [minute_at(1, 36 * DAY)]), ("prune", 144 * DAY)], 1)
def test_sqlite_answers_as_memory_does(operations: list[tuple[Any, ...]], small: int) -> None:
    async def main(path: Path) -> None:
        memory, database = MemoryStore(), Database.open(path)
        sqlite = SqliteStore(database)
        given = 0
        try:
            for step, operation in enumerate([("add",), *operations]):
                await carry_out(memory, given, *operation)
                await carry_out(sqlite, given, *operation)
                given += operation == ("add",)
                if operation == ("reopen",):
                    await database.close()
                    database = Database.open(path)
                    sqlite = SqliteStore(database)
                looks_at_all = (step + small) % 3 == 0
                assert await answers(sqlite, looks_at_all=looks_at_all) == await answers(
                    memory, looks_at_all=looks_at_all
                )
        finally:
            with trio.move_on_after(5, shield=True):
                await database.close()

    # Small numbers, so that few heartbeats go through everything that many would.
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.multiple(heartbeats, PER_MOVE=small),
        mock.patch.multiple(pruning, ROWS_PER_STEP=small, MONITORS_PER_STEP=small),
    ):
        trio.run(main, Path(folder) / "peekaping.db")
