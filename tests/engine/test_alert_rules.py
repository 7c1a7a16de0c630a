"""The rules of alerting: when to try again, when to be quiet, what is due."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peekaping.engine.alerts.message import SEVERITIES, Event, Severity
from peekaping.engine.alerts.rules import (
    certificate_threshold,
    matters,
    may_remind,
    next_wait,
    quiet_until,
    reminder_number,
    tried_for,
)
from peekaping.engine.alerts.settings import ChannelSettings, QuietHours
from peekaping.engine.clock import DAY_MS, HOUR_MS

NOW = 1_700_000_000_000
TIMES = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
INSTANTS = st.integers(NOW, NOW + 400 * DAY_MS)


def ms(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@given(st.integers(1, 60), st.integers(-DAY_MS, DAY_MS), st.floats(0, 200_000) | st.none(), st.floats(0, 1))
def test_a_try_comes_no_sooner_than_after_a_second_and_none_after_the_last(
    tries: int, left_ms: int, after_s: float | None, chance: float
) -> None:
    wait = next_wait(left_ms, tries, after_s, chance)
    if left_ms < 1000:
        assert wait is None
    else:
        assert wait is not None
        assert 1000 <= wait <= left_ms


def test_a_message_has_a_day_from_when_it_was_made_and_an_hour_at_least() -> None:
    assert tried_for(5) == DAY_MS - 5
    assert tried_for(12 * HOUR_MS) == 12 * HOUR_MS, "it waited behind others"
    assert tried_for(10 * DAY_MS) == HOUR_MS, "the server was off"
    assert tried_for(-400 * DAY_MS) == DAY_MS, "the clock was ahead when it was made"


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        (("22:00", "07:00"), "2026-03-01T21:59", None),
        (("22:00", "07:00"), "2026-03-01T22:00", "2026-03-02T07:00"),
        (("22:00", "07:00"), "2026-03-02T06:59", "2026-03-02T07:00"),
        (("22:00", "07:00"), "2026-03-02T07:00", None),
        (("12:00", "13:30"), "2026-03-02T12:30", "2026-03-02T13:30"),
        (("12:00", "13:30"), "2026-03-02T13:30", None),
        (("22:00", "07:00"), "2026-03-28T23:00", "2026-03-29T07:00"),  # the night that is an hour short
        (("22:00", "07:00"), "2026-10-24T23:00", "2026-10-25T07:00"),  # and the one that is an hour long
    ],
)
def test_quiet_hours_go_by_the_clock_on_the_wall(hours: tuple[str, str], now: str, end: str | None) -> None:
    zone = "Europe/Berlin"
    until = quiet_until(QuietHours(*hours, zone), ms(now, zone))
    assert until == (None if end is None else ms(end, zone))


def test_each_time_zone_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def from_disk(name: str) -> ZoneInfo:
        read.append(name)
        return ZoneInfo(name)

    monkeypatch.setattr("peekaping.engine.alerts.rules.ZoneInfo", from_disk)
    names = sorted(available_timezones())[:30]
    for name in names * 3:
        quiet_until(QuietHours("22:00", "07:00", name), NOW)
    assert len(read) == len(set(read))


@given(TIMES, TIMES, ZONES, INSTANTS)
def test_quiet_hours_end_within_a_day_when_the_clock_says_so(start: str, end: str, zone: str, now: int) -> None:
    if start == end:
        return
    hours = QuietHours(start, end, zone)
    until = quiet_until(hours, now)
    if until is None:
        return
    assert now < until <= now + DAY_MS + 2 * 3_600_000
    clock = datetime.fromtimestamp(until / 1000, ZoneInfo(zone))
    shifts = clock.utcoffset() != (clock - timedelta(hours=26)).astimezone(UTC).astimezone(clock.tzinfo).utcoffset()
    assert shifts or clock.strftime("%H:%M") == end
    assert shifts or quiet_until(hours, until) is None


def test_without_quiet_hours_it_is_never_quiet() -> None:
    assert quiet_until(None, NOW) is None


def test_a_recovery_matters_as_much_as_its_failure() -> None:
    by_severity = {least: {event for event in Event if matters(event, least)} for least in Severity}
    urgent = {Event.DOWN, Event.UP, Event.REMINDER}
    assert by_severity == {
        Severity.CRITICAL: urgent,
        Severity.WARNING: urgent | {Event.CERTIFICATE},
        Severity.INFO: set(Event),
    }


def test_reminders_are_counted_from_the_failure() -> None:
    assert [reminder_number(NOW, 60_000, NOW + s * 1000) for s in (-5, 0, 59, 60, 119, 120)] == [0, 0, 0, 1, 1, 2]
    assert reminder_number(NOW, None, NOW + DAY_MS) == 0


@given(TIMES, TIMES, ZONES, INSTANTS, st.integers(0, 30 * 24))
def test_a_reminder_is_never_told_in_quiet_hours_and_never_lost_in_them(
    start: str, end: str, zone: str, since: int, after_h: int
) -> None:
    if start == end:
        return
    hours, due = QuietHours(start, end, zone), since + after_h * HOUR_MS
    if quiet_until(hours, due) is not None:
        assert not may_remind(hours, since, due, due)
    told = due
    while (until := quiet_until(hours, told)) is not None:
        told = until
    down_told = quiet_until(hours, since) or since
    assert may_remind(hours, since, due, told) == (due >= down_told), "else it is told then that it went down"


def test_a_certificate_is_under_the_closest_threshold() -> None:
    days = (21, 14, 7, 1)
    found = {left: certificate_threshold(left, days) for left in (22, 21, 15, 14, 7, 5, 1, 0, -3)}
    assert found == {22: None, 21: 21, 15: 21, 14: 14, 7: 7, 5: 7, 1: 1, 0: 1, -3: 1}
    assert certificate_threshold(0, ()) is None


def test_the_documentation_has_every_field_and_every_event() -> None:
    text = (Path(__file__).parents[2] / "docs" / "alerting.md").read_text()
    table = text.partition("| field | default | meaning |")[2].partition("\n\n")[0]
    fields = [field.encode_name for field in msgspec.structs.fields(ChannelSettings)]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == fields
    events = text.partition("| event | when | severity |")[2].partition("\n\n")[0]
    rows = {
        event: row.rpartition("| ")[2].rstrip(" |")
        for row in events.splitlines()
        for event in re.findall(r"`(\w+\.\w+)`", row)
    }
    assert rows == {event: SEVERITIES.get(event, Severity.INFO) for event in Event if event is not Event.TEST}
