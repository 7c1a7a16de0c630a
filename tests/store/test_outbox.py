"""Channels and the outbox, in memory and in SQLite alike: what is told is stored with what it tells, once, and kept in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from peekaping.engine.accounting import DAY
from peekaping.engine.alerts.channels import parse_channel
from peekaping.engine.alerts.delivery import ChannelEntry, NewDelivery, State, Tried
from peekaping.engine.alerts.message import Event, Message, Severity
from peekaping.engine.alerts.ports import DELIVERIES_KEPT_MS
from peekaping.engine.alerts.settings import ChannelSettings, QuietHours
from peekaping.engine.errors import NameTaken
from peekaping.engine.memory import MemoryStore
from peekaping.engine.monitor import Notifications
from peekaping.engine.ports import Store
from peekaping.engine.records import Status
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore
from tests.store.support import NOON, add, beat, monitor, opened, prune, statements

HOOK = parse_channel("webhook", {"url": "https://hook.example/", "secret": "canary"})


async def add_channel(store: Store, name: str = "hook", **fields: Any) -> ChannelEntry:
    return await store.add_channel(HOOK, ChannelSettings(name=name, **fields), workspace=1, now_ms=NOON)


def new(key: str, *, channel: int = 1, monitor: int = 1, at: int = NOON, event: Event = Event.DOWN) -> NewDelivery:
    return NewDelivery(channel, monitor, Message(event, key, at, Severity.CRITICAL, f"{key} \0 'ü'", "text"))


async def keys(store: Store, channel: int = 1) -> list[str]:
    """Of all deliveries of a channel, oldest first."""
    return [one.key for one in (await store.deliveries(channel, offset=0, limit=1000))[1]][::-1]


async def due(store: Store, at: int = NOON, *, one_each: bool = True, limit: int = 100) -> list[str]:
    return [one.key for one in (await store.due(1, at, one_each=one_each, limit=limit)).deliveries]


def waits(number: int, due_ms: int) -> Tried:
    return Tried((number,), NOON, State.WAITING, "busy", due_ms)


# Channels


async def test_a_channel_comes_back_as_it_was_added(store: Store) -> None:
    quiet = QuietHours("22:00", "07:00", "Europe/Berlin")
    entry = await add_channel(store, enabled=False, quiet_hours=quiet, certificate_days=(3, 1))
    assert await store.channels() == [entry]
    changed = replace(entry, settings=replace(entry.settings, name="other"), updated_ms=NOON + 1)
    await store.replace_channel(changed)
    assert await store.channels() == [changed]


async def test_a_name_is_given_once_in_a_workspace(store: Store) -> None:
    await add_channel(store)
    other = await add_channel(store, "other")
    with pytest.raises(NameTaken):
        await add_channel(store)
    with pytest.raises(NameTaken):
        await store.replace_channel(replace(other, settings=ChannelSettings(name="hook")))
    await store.add_channel(HOOK, ChannelSettings(name="hook"), workspace=2, now_ms=NOON)
    assert [entry.settings.name for entry in await store.channels()] == ["hook", "other", "hook"]


async def test_a_removed_channel_takes_along_what_points_to_it(store: Store) -> None:
    entry = await store.add(monitor(), now_ms=NOON, push_id=None)
    first = await add_channel(store)
    await store.enqueue([new("a")])
    named = replace(entry, monitor=replace(entry.monitor, notifications=Notifications(channels=("channel-2",))))
    await store.remove_channel(first.number, [named])
    assert await store.channels() == []
    assert await keys(store) == []
    assert [snapshot.entry for snapshot in await store.load()] == [named]
    assert (await add_channel(store)).number == 2, "its number is not given again"


async def test_the_configuration_is_sealed_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "peekaping.db"
    async with opened(path) as store:
        await add_channel(store)
    assert b"canary" not in path.read_bytes()


# The outbox


async def test_what_is_told_is_stored_with_what_it_tells(store: Store) -> None:
    await add_channel(store)
    (number,) = await add(store)
    batch = [beat(number, NOON, Status.DOWN, transition=True)]
    for _ in range(2):  # again, after a failure
        await store.append(batch, [new("down")])
    assert await keys(store) == ["down"]
    assert await store.channels_waiting() == [1]
    ((delivery,), next_ms) = await store.due(1, NOON, one_each=True, limit=9)
    assert (delivery.message, delivery.made_ms, delivery.tries, next_ms) == (new("down").message, NOON, 0, None)


async def test_changes_of_monitors_are_told_in_their_transactions(store: Store) -> None:
    await add_channel(store)
    told: Callable[[Any], list[NewDelivery]] = lambda entry: [new("created", monitor=entry.number, event=Event.CREATED)]  # noqa: E731
    entry = await store.add(monitor(), now_ms=NOON, push_id=None, tell=told)
    await store.replace(entry, [new("updated", event=Event.UPDATED)])
    await store.enqueue([new("down"), new("reminder", event=Event.REMINDER)])
    await store.remove(entry.number, [new("deleted", event=Event.DELETED)])
    await store.append([beat(entry.number, NOON, Status.DOWN, transition=True)], [new("late")])
    assert await keys(store) == ["created", "updated", "deleted"], "how it was interests nobody any more"


async def test_nothing_is_kept_for_a_channel_or_of_a_monitor_that_is_not_there(store: Store) -> None:
    await add_channel(store)
    await add(store)
    await store.enqueue([new("a", channel=2), new("b", monitor=2), new("c")])
    assert await keys(store) == ["c"]
    assert await keys(store, 2) == []


async def test_a_delivery_waits_for_those_before_it_of_its_monitor(store: Store) -> None:
    await add_channel(store)
    await add(store, 2)
    await store.enqueue([new("a1"), new("a2"), new("b1", monitor=2), new("ahead", monitor=2, at=NOON + 9)])
    assert await due(store) == ["a1", "b1"]
    assert await due(store, one_each=False) == ["a1", "a2", "b1", "ahead"], "whatever the clock said when it was made"
    await store.settle(waits(1, NOON + 5))
    assert await due(store) == ["b1"]
    assert await due(store, one_each=False) == ["b1", "ahead"]
    assert (await store.due(1, NOON, one_each=True, limit=9)).next_ms == NOON + 5
    assert await due(store, NOON + 5, one_each=False) == ["b1", "ahead", "a1"], "a2 is none of the message that a1 was"
    await store.settle(Tried((1,), NOON + 6, State.SENT, "200 OK"))
    assert await due(store, NOON + 6) == ["a2", "b1"]
    _, found = await store.deliveries(1, offset=3, limit=9)
    assert [(one.tries, one.first_tried_ms, one.state, one.finished_ms, one.answer) for one in found] == [
        (2, NOON, State.SENT, NOON + 6, "200 OK")
    ]


@pytest.mark.parametrize("one_each", [True, False])
async def test_what_was_never_tried_comes_before_what_failed_and_that_in_the_order_it_is_due(
    store: Store, one_each: bool
) -> None:
    await add_channel(store)
    await add(store, 5)
    await store.enqueue([new(f"m{n}", monitor=n) for n in range(1, 6)])
    await store.settle(waits(1, NOON + 9))
    await store.settle(waits(2, NOON + 3))
    await store.settle(waits(3, NOON + 5))
    assert await due(store, NOON + 9, one_each=one_each) == ["m4", "m5", "m2", "m3", "m1"]
    await store.enqueue([new("m2 again", monitor=2)])
    found = await due(store, NOON + 9, one_each=one_each)
    assert "m2 again" not in found, "the order of one monitor holds all the same"


@pytest.mark.parametrize("one_each", [True, False])
async def test_what_was_tried_later_than_now_is_due(store: Store, one_each: bool) -> None:
    await add_channel(store)
    await add(store)
    await store.enqueue([new("a")])
    await store.settle(waits(1, NOON + DAY))
    assert await due(store, NOON, one_each=one_each) == []
    assert await due(store, NOON - 1, one_each=one_each) == ["a"], "the clock was set back"
    await store.settle(Tried((1,), NOON - 1, State.WAITING, "busy", NOON + 1))
    assert await due(store, NOON, one_each=one_each) == [], "it has its waits by the clock that is"


async def test_a_bundle_stays_together(store: Store) -> None:
    await add_channel(store)
    await add(store, 4)
    await store.enqueue([new(f"m{n}", monitor=n) for n in range(1, 5)])
    await store.bundle([2, 4])
    assert await due(store, one_each=False) == ["m1", "m2", "m4", "m3"]


async def test_a_delivery_is_made_again_with_the_key_it_has(store: Store) -> None:
    await add_channel(store)
    await add(store)
    await store.enqueue([new("a")])
    await store.settle(Tried((1,), NOON, State.FAILED, "no"))
    assert await due(store) == []
    again = await store.redeliver(1, 1, NOON + 7)
    assert again is not None
    assert (again.key, again.tries, again.state) == ("a", 0, State.WAITING)
    assert again.made_ms == NOON + 7, "its day begins anew"
    assert await due(store, NOON) == ["a"], "at once, also when the clock is set back"
    assert await store.redeliver(2, 1, NOON) is None
    assert await store.redeliver(1, 9, NOON) is None


async def test_a_disabled_channel_gives_up_what_waits(store: Store) -> None:
    entry = await add_channel(store)
    await add(store)
    await store.enqueue([new("a")])
    await store.replace_channel(replace(entry, settings=replace(entry.settings, enabled=False), updated_ms=NOON + 3))
    _, (delivery,) = await store.deliveries(1, offset=0, limit=9)
    assert (delivery.state, delivery.finished_ms) == (State.FAILED, NOON + 3)
    assert await store.channels_waiting() == []
    await store.enqueue([new("b")])
    await store.append([beat(1, NOON, Status.DOWN, transition=True)], [new("c")])
    assert await keys(store) == ["a"], "nothing is put into it meanwhile"


async def test_a_try_that_failed_while_its_channel_was_disabled_is_not_made_again(store: Store) -> None:
    entry = await add_channel(store)
    await add(store, 2)
    await store.enqueue([new("a"), new("b", monitor=2)])
    await store.replace_channel(replace(entry, settings=replace(entry.settings, enabled=False), updated_ms=NOON + 3))
    await store.settle(waits(1, NOON + 5))
    await store.settle(Tried((2,), NOON + 6, State.SENT, "200 OK"))
    _, (b, a) = await store.deliveries(1, offset=0, limit=9)
    assert (a.state, a.answer) == (State.FAILED, "The channel was disabled")
    assert (b.state, b.answer) == (State.SENT, "200 OK"), "which is what came of it"


async def test_what_waited_untried_behind_what_had_its_time_ends_with_it(store: Store) -> None:
    await add_channel(store)
    await add_channel(store, "other")
    await add(store, 3)
    await store.enqueue(
        [new("old"), new("old too", monitor=2), new("tried"), new("sent again"), new("of another", monitor=3)]
    )
    await store.enqueue([new("elsewhere", channel=2), new("untried", monitor=2), new("young", at=NOON + 2)])
    await store.settle(waits(3, NOON + DAY))
    await store.redeliver(1, 4, NOON + 9)
    await store.settle(Tried((1, 2), NOON + DAY, State.FAILED, "503", untried_since_ms=NOON))
    _, found = await store.deliveries(1, offset=0, limit=9)
    assert {one.key: (one.state, one.tries) for one in found} == {
        "old": (State.FAILED, 1),
        "old too": (State.FAILED, 1),
        "tried": (State.WAITING, 1),
        "sent again": (State.WAITING, 0),
        "of another": (State.WAITING, 0),
        "untried": (State.FAILED, 0),
        "young": (State.WAITING, 0),
    }
    (untried,) = (one for one in found if one.key == "untried")
    assert (untried.answer, untried.finished_ms) == ("503", NOON + DAY)
    assert await keys(store, 2) == ["elsewhere"]
    assert await store.channels_waiting() == [1, 2]
    await prune(store, NOON + DAY + DELIVERIES_KEPT_MS + 1)
    assert await keys(store) == ["tried", "sent again", "of another", "young"], "forgotten like all that is done with"


async def test_what_is_done_with_is_forgotten_after_a_while(store: Store) -> None:
    await add_channel(store)
    await add(store)
    await store.enqueue(
        [new("down"), new("ends", event=Event.CERTIFICATE), new("push", event=Event.HEARTBEAT), new("waiting")]
    )
    await store.settle(Tried((1, 2, 3), NOON, State.SENT, "ok"))
    left = []
    for after_ms in (DAY, DAY + 1, DELIVERIES_KEPT_MS, DELIVERIES_KEPT_MS + 1, 400 * DAY, 400 * DAY + 1):
        await prune(store, NOON + after_ms)
        left.append(await keys(store))
    assert left == [
        ["down", "ends", "push", "waiting"],
        ["down", "ends", "waiting"],
        ["down", "ends", "waiting"],
        ["ends", "waiting"],
        ["ends", "waiting"],
        ["waiting"],
    ]


async def test_it_is_known_since_when_monitors_are_down(store: Store) -> None:
    up, down, unchecked = await add(store, 3)
    await store.append([beat(up, NOON, transition=True), beat(down, NOON + 1, transition=True)])
    await store.append([beat(down, NOON + 2, Status.DOWN, transition=True), beat(down, NOON + 3, Status.DOWN)])
    await store.load()
    assert await store.down_since([up, down, unchecked, 99]) == {up: NOON, down: NOON + 2}


async def test_a_batch_without_news_takes_no_further_statement(database: Database, sqlite: SqliteStore) -> None:
    await add_channel(sqlite)
    (number,) = await add(sqlite)
    with statements(database) as seen:
        await sqlite.append([beat(number, NOON)])
        assert len(seen) == 1
        seen.clear()
        news = [new("down")]
        await sqlite.append([beat(number, NOON + 1, Status.DOWN, transition=True)], news)
        with_one = len(seen)
        seen.clear()
        await sqlite.append([beat(number, NOON + 2, transition=True)], [new(f"{n} up") for n in range(50)])
        assert len(seen) == with_one == 3, "the heartbeat, the outage, and all that is told of it"


NUMBERS = st.integers(1, 12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), st.integers(1, 3), st.integers(0, 20), st.integers(0, 5)),
        st.tuples(st.just("wait"), NUMBERS, st.integers(0, 20)),
        st.tuples(st.just("finish"), NUMBERS),
        st.tuples(st.just("is over"), NUMBERS, st.integers(0, 20)),
        st.tuples(st.just("disable")),
        st.tuples(st.just("bundle"), st.lists(NUMBERS, min_size=1, max_size=4, unique=True).map(sorted)),
        st.tuples(st.just("redeliver"), NUMBERS, st.integers(0, 20)),
        st.tuples(st.just("remove"), st.integers(1, 3)),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_both_stores_give_the_same_to_send(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    trio.run(_compare, tmp_path_factory.mktemp("outbox") / "peekaping.db", steps)


async def _compare(path: Path, steps: list[Any]) -> None:
    async with opened(path) as sqlite:
        seen = [await _follow(store, steps) for store in (MemoryStore(), sqlite)]
    assert seen[0] == seen[1]


async def _follow(store: Store, steps: list[Any]) -> list[Any]:
    """What a store shows after each step. Deliveries go by their keys: stores may leave out numbers."""
    channel = await add_channel(store)
    await add(store, 3)
    seen: list[Any] = []
    by_key: dict[str, int] = {}
    for name, *values in steps:
        numbers = sorted(by_key.values())
        match name:
            case "enqueue":
                number, at, key = values
                await store.enqueue([new(f"{number}-{key}", monitor=number, at=NOON + at)])
            case "remove":
                await store.remove(values[0])
            case "disable":
                settings = replace(channel.settings, enabled=False)
                await store.replace_channel(replace(channel, settings=settings, updated_ms=NOON + 1))
                await store.replace_channel(channel)
            case _ if not numbers:
                continue
            case "wait":
                await store.settle(waits(numbers[values[0] % len(numbers)], NOON + values[1]))
            case "finish":
                await store.settle(Tried((numbers[values[0] % len(numbers)],), NOON, State.SENT, "ok"))
            case "is over":
                over, since_ms = numbers[values[0] % len(numbers)], NOON + values[1]
                await store.settle(Tried((over,), NOON, State.FAILED, "no", untried_since_ms=since_ms))
            case "bundle":
                await store.bundle(sorted({numbers[value % len(numbers)] for value in values[0]}))
            case "redeliver":
                await store.redeliver(1, numbers[values[0] % len(numbers)], NOON + values[1])
        _, found = await store.deliveries(1, offset=0, limit=100)
        by_key = {one.key: one.number for one in found}
        keys_of = {one.number: one.key for one in found}
        seen.append([replace(one, number=0, bundle=None) for one in found])
        seen.append([keys_of.get(one.bundle or 0) for one in found])
        for at in (NOON - 1, NOON, NOON + 10):
            for one_each in (True, False):
                to_send, next_ms = await store.due(1, at, one_each=one_each, limit=5)
                seen.append(([one.key for one in to_send], next_ms))
    return seen
