"""Outages follow from transitions, in the store in memory and in SQLite alike."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peekaping.engine.outages import Change, Outage, changes
from peekaping.engine.ports import OUTAGES_KEPT_MS, Store
from peekaping.engine.records import Heartbeat, Status
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore
from tests.store.support import NOON, add, beat, prune, statements

UP, DOWN = Status.UP, Status.DOWN


def turns(number: int, *ats: int, first: Status = DOWN) -> list[Heartbeat]:
    """Transitions, each to what the one before was not."""
    statuses = [first, UP if first is DOWN else DOWN] * len(ats)
    return [beat(number, NOON + at, status, transition=True) for at, status in zip(ats, statuses, strict=False)]


async def outages(store: Store, number: int, from_ms: int = 0, to_ms: int = 10**6, limit: int = 100) -> list[Outage]:
    """Since NOON."""
    count, found = await store.outages(number, from_ms=NOON + from_ms, to_ms=NOON + to_ms, limit=limit)
    assert count >= len(found)
    return [Outage(found.start - NOON, None if found.end is None else found.end - NOON) for found in found]


async def test_it_lasts_from_the_transition_to_down_to_the_next_to_up(store: Store) -> None:
    one, two = await add(store, 2)
    await store.append([*turns(one, 0, first=UP), *turns(two, 7)])
    assert await outages(store, one) == []
    assert await outages(store, two) == [Outage(7)]
    await store.append(turns(one, 10))
    await store.append([beat(one, NOON + 11, DOWN), beat(one, NOON + 12, Status.PAUSED, is_check=False)])
    assert await outages(store, one) == [Outage(10)]
    await store.append(turns(one, 20, first=UP))
    assert await outages(store, one) == [Outage(10, 20)]
    assert await outages(store, two) == [Outage(7)]


async def test_a_batch_may_hold_several(store: Store) -> None:
    (number,) = await add(store)
    await store.append(turns(number, 5))
    await store.append(turns(number, 10, 20, 30, 40, 50, first=UP)[::-1])
    assert await outages(store, number) == [Outage(40, 50), Outage(20, 30), Outage(5, 10)]
    await store.append(turns(number, 60, 70, 80))
    assert (await outages(store, number))[:2] == [Outage(80), Outage(60, 70)]


async def test_a_batch_that_is_stored_again_changes_nothing(store: Store) -> None:
    (number,) = await add(store)
    batches = [turns(number, 10), turns(number, 20, first=UP), turns(number, 30)]
    for batch in batches:
        await store.append(batch)
    for batch in batches:
        await store.append(batch)
        assert await outages(store, number) == [Outage(30), Outage(10, 20)]


async def test_those_that_lasted_into_the_time_asked_for_are_found(store: Store) -> None:
    (number,) = await add(store)
    await store.append(turns(number, 10, 20, 30, 40, 50))
    assert await outages(store, number, 20, 30) == []
    assert await outages(store, number, 19, 31) == [Outage(30, 40), Outage(10, 20)]
    assert await outages(store, number, 60, 61) == [Outage(50)]
    assert await store.outages(number, from_ms=NOON, to_ms=NOON + 99, limit=1) == (3, [Outage(NOON + 50)])


async def test_they_are_kept_for_400_days_after_their_end(store: Store) -> None:
    (number,) = await add(store)
    await store.append(turns(number, 10, 20, 30, 40, 50))
    await prune(store, NOON + 30 + OUTAGES_KEPT_MS)
    assert await outages(store, number) == [Outage(50), Outage(30, 40)]
    await prune(store, NOON + 30 + 2 * OUTAGES_KEPT_MS)
    assert await outages(store, number) == [Outage(50)]


async def test_those_of_a_removed_monitor_are_forgotten(store: Store) -> None:
    (number,) = await add(store)
    await store.append(turns(number, 10))
    await store.remove(number)
    await store.append(turns(number, 20, first=UP))  # on its way when the monitor was removed
    assert await outages(store, number) == []


@pytest.mark.parametrize("transitions", [0, 1, 7])
async def test_they_cost_a_commit_one_statement_and_none_without_transitions(
    database: Database, sqlite: SqliteStore, transitions: int
) -> None:
    numbers = await add(sqlite, 3)
    await sqlite.append([beat(number, NOON) for number in numbers])
    batch = [beat(number, NOON + 1) for number in numbers]
    batch += [turn for number in numbers for turn in turns(number, *range(10, 10 + transitions))]
    with statements(database) as seen:
        await sqlite.append(batch)
    assert len([statement for statement in seen if "incident" in statement]) == bool(transitions)


@given(st.sets(st.integers(1, 1000)), st.sampled_from([UP, DOWN]), st.integers(1, 5))
def test_however_the_transitions_are_batched_the_outages_are_the_same(
    ats: set[int], first: Status, per_batch: int
) -> None:
    run = turns(1, *sorted(ats), first=first)
    ends: dict[int, int | None] = {}
    for start in range(0, len(run), per_batch):
        for _, began, ended in changes(run[start : start + per_batch]):
            ends[max(ends) if began is None and ends else began or -1] = ended
    ends.pop(-1, None)
    beginnings = [(turn.at, following.at) for turn, following in pairwise(run) if turn.status is DOWN]
    last = {run[-1].at: None} if run and run[-1].status is DOWN else {}
    assert ends == {**dict(beginnings), **last}


def test_what_is_no_transition_changes_nothing() -> None:
    assert changes([beat(1, NOON, DOWN), beat(1, NOON + 1, UP)]) == []
    assert changes(turns(1, 1, 2)) == [Change(1, NOON + 1, NOON + 2)]
