"""What the engine may rely on, of the store in memory and of the one in SQLite alike."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import assert_checkpoints

from peekaping.engine.accounting import DAY, HOUR, MINUTE, Bucket
from peekaping.engine.certificate import SeenCertificate
from peekaping.engine.ports import HEARTBEATS_KEPT_MS, HOURS_KEPT_MS, MINUTES_KEPT_MS, Store, Tail
from peekaping.engine.probes.push import PushMonitor
from peekaping.engine.records import Phases, Snapshot, State, Status
from tests.store.support import NOON, add, beat, certificate, minute, monitor, prune

UP, DOWN, PENDING, UNKNOWN, PAUSED = Status.UP, Status.DOWN, Status.PENDING, Status.UNKNOWN, Status.PAUSED
LONG_AGO = NOON - 1000 * DAY


async def ats(store: Store, number: int, **query: int) -> list[int]:
    """When the heartbeats were that a query finds, since NOON."""
    return [heartbeat.at - NOON for heartbeat in await store.heartbeats(number, **{"limit": 100, **query})]


# Monitors


async def test_an_empty_store_has_no_monitors(store: Store) -> None:
    assert await store.load() == []


async def test_a_monitor_comes_back_as_it_was_added(store: Store) -> None:
    push = PushMonitor(name="Backup", interval=86_400_000, grace=5000, retries=2)
    entry = await store.add(push, now_ms=NOON, push_id="secret")
    assert (entry.monitor, entry.created_ms, entry.updated_ms, entry.push_id) == (push, NOON, NOON, "secret")
    assert not entry.paused
    assert await store.load() == [Snapshot(entry, State(), None)]


async def test_monitors_are_loaded_by_number(store: Store) -> None:
    numbers = await add(store, 3)
    assert [snapshot.entry.number for snapshot in await store.load()] == sorted(numbers)


async def test_a_replaced_monitor_comes_back_changed(store: Store) -> None:
    entry = await store.add(monitor(), now_ms=NOON, push_id="old")
    changed = msgspec.structs.replace(
        entry, monitor=monitor("Mail"), updated_ms=NOON + 5, paused=True, push_id="new", target_ms=NOON + 4
    )
    await store.replace(changed)
    assert [snapshot.entry for snapshot in await store.load()] == [changed]


async def test_a_removed_monitor_does_not_come_back_by_a_replacement(store: Store) -> None:
    entry = await store.add(monitor(), now_ms=NOON, push_id=None)
    await store.remove(entry.number)
    await store.replace(entry)
    assert await store.load() == []


async def test_removing_what_is_not_there_is_fine(store: Store) -> None:
    await store.remove(17)
    assert await add(store) == [1]


async def test_the_number_of_a_removed_monitor_is_not_given_again(store: Store) -> None:
    first, second = await add(store, 2)
    await store.remove(second)
    (third,) = await add(store)
    assert len({first, second, third}) == 3


# Heartbeats


async def test_a_heartbeat_comes_back_without_its_phases(store: Store) -> None:
    (number,) = await add(store)
    full = beat(
        number,
        NOON,
        DOWN,
        "HTTP 503: überlastet",
        reason="status_code",
        response_ms=31,
        status_code=503,
        transition=True,
    )
    unstored = {"phases": Phases(connect_us=5), "previous": UP, "hold_ms": 9000, "certificate": certificate()}
    await store.append([msgspec.structs.replace(full, **unstored)])
    assert await store.heartbeats(number, limit=10) == [full]


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("is_check", [True, False])
@pytest.mark.parametrize("transition", [True, False])
async def test_every_status_comes_back(store: Store, status: Status, is_check: bool, transition: bool) -> None:
    (number,) = await add(store)
    heartbeat = beat(number, NOON, status, is_check=is_check, transition=transition)
    await store.append([heartbeat])
    assert await store.heartbeats(number, limit=1) == [heartbeat]


@pytest.mark.parametrize(("status_code", "message"), [(None, "OK"), (200, "OK"), (404, "Not Found"), (299, "HTTP 299")])
@pytest.mark.parametrize("own", ["", "OK", 'said "NO", \\ and left', "\u2028 \U0001f600 \t", "x" * 10_000])
async def test_every_message_comes_back(store: Store, status_code: int | None, message: str, own: str) -> None:
    (number,) = await add(store)
    heartbeats = [
        beat(number, NOON + n, message=text, status_code=status_code) for n, text in enumerate((own, message))
    ]
    await store.append(heartbeats)
    assert await store.heartbeats(number, limit=2) == heartbeats[::-1]


async def test_a_query_takes_the_newest_first(store: Store) -> None:
    (number,) = await add(store)
    await store.append([beat(number, NOON + n) for n in range(5)])
    assert await ats(store, number, limit=2) == [4, 3]
    assert await ats(store, number, limit=9) == [4, 3, 2, 1, 0]
    assert await ats(store, number, limit=0) == []


async def test_a_query_includes_from_and_excludes_to(store: Store) -> None:
    (number,) = await add(store)
    await store.append([beat(number, NOON + n) for n in range(5)])
    assert await ats(store, number, from_ms=NOON + 2) == [4, 3, 2]
    assert await ats(store, number, to_ms=NOON + 2) == [1, 0]
    assert await ats(store, number, from_ms=NOON + 1, to_ms=NOON + 4, limit=2) == [3, 2]
    assert await ats(store, number, from_ms=NOON + 2, to_ms=NOON + 2) == []
    assert await ats(store, number, from_ms=NOON + 3, to_ms=NOON + 1) == []


async def test_a_query_is_about_one_monitor(store: Store) -> None:
    one, two = await add(store, 2)
    await store.append([beat(one, NOON), beat(two, NOON), beat(two, NOON + 1)])
    assert await ats(store, one) == [0]
    assert await ats(store, 99) == []


async def test_a_batch_stored_again_changes_nothing(store: Store) -> None:
    (number,) = await add(store)
    batch = [beat(number, NOON + n) for n in range(3)]
    await store.append(batch)
    await store.append([*batch, beat(number, NOON + 3)])
    assert await ats(store, number) == [3, 2, 1, 0]


async def test_heartbeats_may_come_in_any_order(store: Store) -> None:
    one, two = await add(store, 2)
    await store.append([beat(two, NOON + 5), beat(one, NOON + 2), beat(two, NOON + 4)])
    await store.append([beat(one, NOON + 1), beat(one, NOON + 3)])
    assert (await ats(store, one), await ats(store, two)) == ([3, 2, 1], [5, 4])


async def test_an_empty_batch_is_fine(store: Store) -> None:
    await store.append([])
    await store.roll_up([])
    assert await store.tails([]) == []


async def test_heartbeats_and_minutes_of_no_monitor_are_dropped(store: Store) -> None:
    (number,) = await add(store)
    await store.remove(number)
    await store.append([beat(number, NOON), beat(77, NOON)])
    await store.roll_up([minute(number, NOON), minute(77, NOON)])
    assert await ats(store, number) == []
    assert await store.buckets(77, MINUTE, from_ms=NOON, to_ms=NOON + 1) == []
    assert (await store.totals(DAY, from_ms=0, to_ms=NOON + DAY)).checks == 0


# What a monitor goes on from


async def test_a_monitor_goes_on_from_its_newest_heartbeat(store: Store) -> None:
    one, two, three = await add(store, 3)
    await store.append([beat(one, NOON, transition=True), beat(one, NOON + 1), beat(two, NOON, DOWN, transition=True)])
    states = {snapshot.entry.number: (snapshot.state, snapshot.last) for snapshot in await store.load()}
    assert states == {
        one: (State(UP, UP), beat(one, NOON + 1)),
        two: (State(DOWN, DOWN), beat(two, NOON, DOWN, transition=True)),
        three: (State(), None),
    }


async def test_retries_go_on_where_they_were(store: Store) -> None:
    (number,) = await add(store)
    found = [(UP, True), (PENDING, False), (UP, False), (PENDING, False), (UNKNOWN, False), (PENDING, False)]
    await store.append([beat(number, NOON + n, status, transition=new) for n, (status, new) in enumerate(found)])
    assert [snapshot.state for snapshot in await store.load()] == [State(PENDING, UP, failures=2)]


async def test_a_resumed_monitor_begins_its_retries_anew(store: Store) -> None:
    (number,) = await add(store)
    await store.append(
        [
            beat(number, NOON, transition=True),
            beat(number, NOON + 1, PENDING),
            beat(number, NOON + 2, PAUSED, "Paused", is_check=False),
            beat(number, NOON + 3, PENDING, "Resumed", is_check=False),
        ]
    )
    ((_, state, last, _, newest_at),) = await store.load()
    assert state == State(PENDING, UP, failures=0)
    assert last == beat(number, NOON + 1, PENDING)
    assert newest_at == NOON + 3, "the next heartbeat must come after it, whatever the clock says"


# Certificates


async def certificates(store: Store) -> list[SeenCertificate | None]:
    return [snapshot.certificate for snapshot in await store.load()]


async def test_a_monitor_goes_on_with_the_certificate_that_was_seen_last(store: Store) -> None:
    one, two, three = await add(store, 3)
    old, new = certificate("aa"), certificate("bb")
    await store.append([beat(one, NOON, certificate=old), beat(two, NOON + 1, certificate=old), beat(three, NOON)])
    await store.append([beat(one, NOON + 2), beat(two, NOON + 3, certificate=new)])
    assert await certificates(store) == [SeenCertificate(old, NOON), SeenCertificate(new, NOON + 3), None]


async def test_of_several_certificates_the_newest_stays_in_whatever_order_they_come(store: Store) -> None:
    (number,) = await add(store)
    old, new = beat(number, NOON, certificate=certificate("aa")), beat(number, NOON + 1, certificate=certificate("bb"))
    for batch in ([old, new], [new, old], [old]):
        await store.append(batch)
        assert await certificates(store) == [SeenCertificate(certificate("bb"), NOON + 1)]


async def test_a_certificate_of_an_earlier_target_does_not_come_back(store: Store) -> None:
    entry = await store.add(monitor(), now_ms=NOON, push_id=None)
    await store.append([beat(entry.number, NOON, certificate=certificate("aa"))])
    await store.replace(msgspec.structs.replace(entry, target_ms=NOON + 2))
    assert await certificates(store) == [None]
    await store.append([beat(entry.number, NOON + 1, certificate=certificate("bb"))])  # it was on its way
    assert await certificates(store) == [None]
    await store.append([beat(entry.number, NOON + 2, certificate=certificate("aa"))])
    assert await certificates(store) == [SeenCertificate(certificate("aa"), NOON + 2)]


# Statistics


async def test_minutes_add_up_to_their_hour_and_day(store: Store) -> None:
    (number,) = await add(store)
    hour, day = NOON - NOON % HOUR, NOON - NOON % DAY
    one = Bucket(
        monitor=number, start=hour, up=50_000, down=6000, unknown=3000, paused=1000, checks=5, failures=2,
        responses=3, response_sum=70, response_min=10, response_max=40, sketch={60: 2, 70: 1},
    )  # fmt: skip
    two = minute(
        number, hour + MINUTE, up=60_000, checks=1, responses=1, response_sum=5, response_min=5, response_max=5,
        sketch={42: 1, 60: 2},
    )  # fmt: skip
    silent = minute(number, hour + 2 * MINUTE, down=60_000, checks=2, failures=2)
    await store.roll_up([one, two])
    await store.roll_up([silent])
    sums = Bucket(
        monitor=number, start=hour, up=110_000, down=66_000, unknown=3000, paused=1000, checks=8, failures=4,
        responses=4, response_sum=75, response_min=5, response_max=40, sketch={42: 1, 60: 4, 70: 1},
    )  # fmt: skip
    assert await store.buckets(number, MINUTE, from_ms=0, to_ms=NOON + DAY) == [one, two, silent]
    assert await store.buckets(number, HOUR, from_ms=0, to_ms=NOON + DAY) == [sums]
    sums.start = day
    assert await store.buckets(number, DAY, from_ms=0, to_ms=NOON + DAY) == [sums]
    sums.response_min, sums.response_max, sums.sketch = None, None, {}
    assert await store.days([number], from_ms=day, to_ms=day + 1) == [sums]
    assert await store.days([number], from_ms=day + 1, to_ms=NOON + DAY) == []


async def test_a_minute_rolled_up_again_changes_nothing(store: Store) -> None:
    (number,) = await add(store)
    minutes = [minute(number, NOON + n * MINUTE) for n in range(3)]
    await store.roll_up(minutes[:2])
    await store.roll_up(minutes)
    await store.roll_up([minute(number, NOON - 60 * MINUTE), minutes[2], minutes[2]])
    assert len(await store.buckets(number, MINUTE, from_ms=0, to_ms=NOON + DAY)) == 3
    assert (await store.totals(HOUR, from_ms=0, to_ms=NOON + DAY)).checks == 3
    assert (await store.totals(DAY, from_ms=0, to_ms=NOON + DAY)).checks == 3


async def test_a_minute_stored_twice_in_one_batch_counts_once(store: Store) -> None:
    (number,) = await add(store)
    await store.roll_up([minute(number, NOON), minute(number, NOON)])
    assert (await store.totals(DAY, from_ms=0, to_ms=NOON + DAY)).checks == 1


async def test_buckets_start_within_from_and_to(store: Store) -> None:
    one, two = await add(store, 2)
    await store.roll_up([minute(one, NOON + n * MINUTE) for n in range(4)] + [minute(two, NOON)])
    found = await store.buckets(one, MINUTE, from_ms=NOON + MINUTE, to_ms=NOON + 3 * MINUTE)
    assert [bucket.start - NOON for bucket in found] == [MINUTE, 2 * MINUTE]


async def test_totals_add_up_all_monitors(store: Store) -> None:
    one, two = await add(store, 2)
    await store.roll_up([
        minute(one, NOON, up=60_000, checks=1, responses=1, response_sum=4, response_min=4, response_max=4, sketch={36: 1}),
        minute(two, NOON, down=60_000, checks=1, responses=1, response_sum=6, response_min=6, response_max=6, sketch={36: 1}),
        minute(two, NOON + MINUTE),
    ])  # fmt: skip
    together = Bucket(monitor=0, start=NOON, up=60_000, down=60_000, checks=2, responses=2, response_sum=10)
    together.add(minute(0, NOON))
    assert await store.totals(HOUR, from_ms=NOON, to_ms=NOON + HOUR) == msgspec.structs.replace(
        together, response_min=None, response_max=None, sketch={}
    )
    assert await store.totals(HOUR, from_ms=NOON - DAY, to_ms=NOON - HOUR) == Bucket(monitor=0, start=NOON - DAY)


async def test_a_removed_monitor_is_taken_out_of_the_totals(store: Store) -> None:
    one, two = await add(store, 2)
    await store.roll_up([minute(one, NOON, checks=3), minute(two, NOON, checks=4), minute(two, NOON + HOUR, checks=5)])
    await store.remove(two)
    for span in (HOUR, DAY):
        assert (await store.totals(span, from_ms=0, to_ms=NOON + DAY)).checks == 3


async def test_what_a_query_gives_may_be_changed(store: Store) -> None:
    (number,) = await add(store)
    await store.roll_up([minute(number, NOON, checks=1, sketch={3: 1})])
    (bucket,) = await store.buckets(number, MINUTE, from_ms=NOON, to_ms=NOON + 1)
    bucket.add(bucket)
    (again,) = await store.buckets(number, MINUTE, from_ms=NOON, to_ms=NOON + 1)
    assert again.sketch == {3: 1}


# Tails


async def test_a_tail_without_minutes_is_all_there_is(store: Store) -> None:
    one, two = await add(store, 2)
    heartbeats = [beat(one, NOON, transition=True), beat(one, NOON + 1)]
    await store.append(heartbeats)
    assert await store.tails([two, one, 99]) == [
        Tail(two, None, None, []),
        Tail(one, None, None, heartbeats),
        Tail(99, None, None, []),
    ]


async def test_a_tail_begins_with_the_heartbeat_before_the_watermark(store: Store) -> None:
    (number,) = await add(store)
    end = NOON + MINUTE
    before = [beat(number, NOON, DOWN, transition=True), beat(number, NOON + 5, transition=True), beat(number, end - 1)]
    after = [beat(number, end), beat(number, end + 10, DOWN, transition=True)]
    await store.append(before + after)
    await store.roll_up([minute(number, NOON)])
    assert await store.tails([number]) == [Tail(number, end, UP, [before[-1], *after])]


async def test_the_confirmed_status_of_a_tail_is_that_before_its_first_heartbeat(store: Store) -> None:
    (number,) = await add(store)
    first = beat(number, NOON + 5, transition=True)
    await store.append([beat(number, NOON, DOWN, transition=True), first])
    await store.roll_up([minute(number, NOON)])
    assert await store.tails([number]) == [Tail(number, NOON + MINUTE, DOWN, [first])]


async def test_a_tail_after_a_minute_without_heartbeats_before_it(store: Store) -> None:
    (number,) = await add(store)
    after = beat(number, NOON + MINUTE)
    await store.append([after])
    await store.roll_up([minute(number, NOON)])
    assert await store.tails([number]) == [Tail(number, NOON + MINUTE, None, [after])]


# Forgetting


async def test_old_history_is_forgotten(store: Store) -> None:
    (number,) = await add(store)
    await store.append([beat(number, NOON - n * DAY) for n in (50, 31, 30, 29, 0)])
    await store.roll_up([minute(number, NOON - n * DAY) for n in (150, 101, 99, 3, 1, 0)])
    await prune(store, NOON)
    assert [HEARTBEATS_KEPT_MS, MINUTES_KEPT_MS, HOURS_KEPT_MS] == [30 * DAY, 2 * DAY, 100 * DAY]
    assert await ats(store, number) == [0, -29 * DAY, -30 * DAY]

    async def kept(span: int) -> int:
        return len(await store.buckets(number, span, from_ms=0, to_ms=NOON + DAY))

    assert (await kept(MINUTE), await kept(HOUR), await kept(DAY)) == (2, 4, 6)


async def test_what_a_monitor_goes_on_from_is_not_forgotten(store: Store) -> None:
    (number,) = await add(store)
    await store.append(
        [
            beat(number, LONG_AGO, transition=True),
            beat(number, LONG_AGO + 1, DOWN, transition=True),
            beat(number, LONG_AGO + 2, DOWN),
            beat(number, LONG_AGO + 3, PAUSED, is_check=False),
            beat(number, LONG_AGO + 4, PENDING, is_check=False),
            beat(number, LONG_AGO + 5, PAUSED, is_check=False),
        ]
    )
    await store.roll_up([minute(number, LONG_AGO), minute(number, LONG_AGO + MINUTE)])
    before = (await store.load())[0].state
    await prune(store, NOON)
    assert (await store.load())[0].state == before == State(PAUSED, DOWN)
    assert len(await ats(store, number)) == 2
    (tail,) = await store.tails([number])
    assert tail.watermark == LONG_AGO + 2 * MINUTE


async def test_a_removed_monitor_is_forgotten_wholly(store: Store) -> None:
    one, two = await add(store, 2)
    await store.append([beat(one, NOON, DOWN, transition=True), beat(two, NOON)])
    await store.roll_up([minute(one, NOON), minute(two, NOON)])
    await store.remove(one)
    for _ in range(2):  # at once, and after the pruning
        assert [snapshot.entry.number for snapshot in await store.load()] == [two]
        assert await ats(store, one) == []
        assert await store.buckets(one, DAY, from_ms=0, to_ms=NOON + 1) == []
        assert await store.tails([one]) == [Tail(one, None, None, [])]
        assert (await store.sums([one], DAY, from_ms=0, to_ms=NOON + 1))[0].checks == 0
        assert await store.days([one], from_ms=0, to_ms=NOON + 1) == []
        assert await store.outages(one, from_ms=0, to_ms=NOON + 1, limit=9) == (0, [])
        assert (await store.totals(DAY, from_ms=0, to_ms=NOON + 1)).checks == 1
        await prune(store, NOON)


# Cancellation


async def test_every_method_is_a_checkpoint(store: Store) -> None:
    entry = await store.add(monitor(), now_ms=NOON, push_id=None)
    for call in (
        store.load,
        lambda: store.tails([1]),
        lambda: store.add(monitor(), now_ms=NOON, push_id=None),
        lambda: store.replace(entry),
        lambda: store.append([]),
        lambda: store.roll_up([]),
        lambda: store.heartbeats(1, limit=1),
        lambda: store.buckets(1, DAY, from_ms=0, to_ms=1),
        lambda: store.totals(DAY, from_ms=0, to_ms=1),
        lambda: store.sums([1], DAY, from_ms=0, to_ms=1),
        lambda: store.days([1], from_ms=0, to_ms=1),
        lambda: store.outages(1, from_ms=0, to_ms=1, limit=1),
        lambda: store.prune(NOON),
        lambda: store.remove(1),
    ):
        with assert_checkpoints():
            await call()


async def test_a_call_cancelled_before_it_began_changes_nothing(store: Store) -> None:
    (number,) = await add(store)
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.append([beat(number, NOON)])
    assert scope.cancelled_caught
    assert await ats(store, number) == []


async def test_a_workspaces_totals_are_of_its_own_monitors(store: Store) -> None:
    (first,) = await add(store)
    second = await store.add(monitor("Theirs"), now_ms=NOON, push_id=None, workspace=2)
    assert {snapshot.entry.workspace for snapshot in await store.load()} == {1, 2}
    await store.roll_up([minute(first, NOON, checks=3), minute(second.number, NOON, checks=4)])

    async def checks(span: int) -> list[int]:
        spans = [
            await store.totals(span, from_ms=0, to_ms=NOON + DAY, workspace=workspace) for workspace in (1, 2, 3, None)
        ]
        return [total.checks for total in spans]

    for span in (HOUR, DAY):
        assert await checks(span) == [3, 4, 0, 7]
    await store.remove(second.number)
    for span in (HOUR, DAY):
        assert await checks(span) == [3, 0, 0, 3]
