"""Heartbeats into time: against a model that looks at every second."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from peekaping.engine.accounting import DAY, HOUR, MINUTE, SPANS, Bucket, Tally, parts_of
from peekaping.engine.records import Heartbeat, Status

START = 1_700_000_040_000  # a minute's start


def heartbeat(at: int, status: Status, *, response_ms: int | None = None, is_check: bool = True) -> Heartbeat:
    return Heartbeat(1, at, status, "", response_ms=response_ms, is_check=is_check)


@dataclass
class Beat:
    second: int
    status: Status


beats = st.lists(
    st.builds(Beat, st.integers(0, 600), st.sampled_from(list(Status))), max_size=12, unique_by=lambda beat: beat.second
).map(lambda found: sorted(found, key=lambda beat: beat.second))


def model(found: list[Beat], hold: int, end: int) -> dict[int, Counter[str]]:
    """What every second counts as, by minute."""
    minutes: dict[int, Counter[str]] = {}
    for second in range(end):
        earlier = [beat for beat in found if beat.second <= second]
        if not earlier:
            continue
        last = earlier[-1]
        if last.status is not Status.PAUSED and second >= last.second + hold:
            continue
        certain = [beat.status for beat in earlier if beat.status in (Status.UP, Status.DOWN)]
        counts_as = last.status
        if counts_as is Status.PENDING:
            counts_as = certain[-1] if certain else Status.UNKNOWN
        minutes.setdefault(second // 60, Counter())[counts_as] += 1000
    return minutes


def by_minute(buckets: list[Bucket]) -> dict[int, Counter[str]]:
    return {
        (bucket.start - START) // MINUTE: Counter(
            {
                Status.UP: bucket.up,
                Status.DOWN: bucket.down,
                Status.UNKNOWN: bucket.unknown,
                Status.PAUSED: bucket.paused,
            }
        )
        for bucket in buckets
        if bucket.up or bucket.down or bucket.unknown or bucket.paused
    }


@given(beats, st.integers(1, 200), st.integers(601, 900))
def test_every_second_counts_as_the_model_says(found: list[Beat], hold: int, end: int) -> None:
    tally, closed = Tally(1, START), []
    for beat in found:
        closed += tally.take(heartbeat(START + beat.second * 1000, beat.status), hold * 1000)
    peeked = tally.peek(START + end * 1000)
    closed += tally.advance(START + end * 1000)
    expected = model(found, hold, end)
    assert by_minute([*closed, tally.bucket]) == {minute: +counts for minute, counts in expected.items()}
    assert sum(bucket.checks for bucket in [*closed, tally.bucket]) == len(found)
    # What peeking shows is what has not been closed before.
    before = [bucket for bucket in closed if bucket.start < peeked.start]
    assert sum(bucket.up for bucket in before) + peeked.up == sum(counts[Status.UP] for counts in expected.values())


@given(st.lists(beats, max_size=5), st.integers(1, 200), st.integers(601, 900))
def test_a_sum_is_of_what_each_shows(all_found: list[list[Beat]], hold: int, end: int) -> None:
    total, shown = Bucket(monitor=0, start=0), Bucket(monitor=0, start=0)
    for found in all_found:
        tally = Tally(1, START)
        for beat in found:
            tally.take(heartbeat(START + beat.second * 1000, beat.status, response_ms=beat.second), hold * 1000)
        tally.add_to(total, START + end * 1000)
        shown.add(tally.peek(START + end * 1000))
    assert total == replace(shown, response_min=None, response_max=None, sketch={})


@given(beats, st.integers(1, 200), st.integers(0, 10))
def test_a_rebuilt_tally_goes_on_as_the_one_that_was_lost(found: list[Beat], hold: int, watermark_minute: int) -> None:
    found = [beat for beat in found if beat.status is not Status.PAUSED]  # whose time ends with the engine's
    end = START + 700_000
    watermark = START + watermark_minute * MINUTE
    whole, closed = Tally(1, START), []
    for beat in found:
        closed += whole.take(heartbeat(START + beat.second * 1000, beat.status), hold * 1000)
    closed += whole.advance(end)

    tail = [heartbeat(START + beat.second * 1000, beat.status) for beat in found]
    before = [beat for beat in tail if beat.at < watermark]
    confirmed = [beat.status for beat in before[:-1] if beat.status in (Status.UP, Status.DOWN)]
    rebuilt, reclosed = Tally.rebuild(
        1,
        watermark,
        confirmed[-1] if confirmed else None,
        before[-1:] + [beat for beat in tail if beat.at >= watermark],
        hold * 1000,
        end,
    )
    assert by_minute(reclosed) == by_minute([bucket for bucket in closed if bucket.start >= watermark])
    assert by_minute([rebuilt.bucket]) == by_minute([whole.bucket])
    assert rebuilt.confirmed == whole.confirmed


def test_uptime_is_weighted_by_time_not_by_checks() -> None:
    tally = Tally(1, START)
    tally.take(heartbeat(START, Status.UP), HOUR)
    for second in (54, 55, 56):  # three failing checks in six seconds are no half of the minute
        tally.take(heartbeat(START + second * 1000, Status.DOWN), HOUR)
    (minute,) = tally.advance(START + MINUTE)
    assert minute.uptime == 90.0


def test_unknown_and_paused_time_is_left_out_of_uptime() -> None:
    bucket = Bucket(monitor=1, start=START, up=30, down=10, unknown=500, paused=500)
    assert bucket.uptime == 75.0
    assert Bucket(monitor=1, start=START, unknown=5).uptime is None


def test_time_without_an_engine_counts_as_nothing() -> None:
    tally, closed = Tally.rebuild(1, None, None, [heartbeat(START, Status.UP)], 90_000, START + 30 * 24 * HOUR)
    assert sum(bucket.up for bucket in closed) == 90_000
    assert tally.bucket.is_empty


def test_a_pause_ends_with_the_engine_and_goes_on_with_it() -> None:
    paused = heartbeat(START, Status.PAUSED, is_check=False)
    tally, closed = Tally.rebuild(1, None, None, [paused], 1000, START + HOUR)
    assert closed == []
    closed = tally.advance(START + HOUR + MINUTE)
    assert [bucket.paused for bucket in closed] == [MINUTE]
    assert [bucket.checks for bucket in closed] == [0]


def test_a_wall_clock_set_back_loses_no_check() -> None:
    tally = Tally(1, START)
    tally.take(heartbeat(START + 2 * MINUTE, Status.UP, response_ms=5), MINUTE)
    tally.take(heartbeat(START, Status.UP, response_ms=7), MINUTE)
    assert tally.bucket.checks == 2
    assert (tally.bucket.response_min, tally.bucket.response_max) == (5, 7)


responses = st.lists(st.integers(0, 100_000), min_size=1, max_size=20)


@given(responses, responses)
def test_merged_buckets_are_the_bucket_of_all_checks(some: list[int], others: list[int]) -> None:
    def bucket_of(values: list[int]) -> Bucket:
        tally = Tally(1, START)
        for offset, value in enumerate(values):
            tally.take(heartbeat(START + offset, Status.UP, response_ms=value), MINUTE)
        return tally.bucket

    merged, whole = bucket_of(some), bucket_of([*some, *others])
    merged.add(bucket_of(others))
    for field in ("checks", "responses", "response_sum", "response_min", "response_max", "sketch"):
        assert getattr(merged, field) == getattr(whole, field)


@given(st.integers(0, 10_000 * DAY), st.integers(0, 100 * DAY), st.sampled_from(SPANS))
@example(7 * DAY, 60 * DAY, MINUTE)
@example(HOUR + MINUTE, 30 * MINUTE, MINUTE)
def test_the_parts_of_a_time_are_all_of_it_and_few(start: int, length: int, span: int) -> None:
    start -= start % span
    end = start + length + 1
    parts = parts_of(start, end, span)
    assert [(start, *(to_ms for *_, to_ms in parts))] == [(*(from_ms for _, from_ms, _ in parts), end)]
    for part, from_ms, _ in parts:
        assert from_ms % part == 0, "no bucket is cut at its start"
    coarsest = max(part for part, *_ in parts)
    most = {MINUTE: 60, HOUR: 24}.get(span, 0)
    buckets = sum(-((from_ms - to_ms) // part) for part, from_ms, to_ms in parts)
    assert buckets <= most + length // coarsest + 1
