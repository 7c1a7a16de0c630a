"""What messages say."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peekaping.engine.alerts.message import Event, Message, Severity, compose, facts_of, grouped, span
from peekaping.engine.certificate import Certificate
from peekaping.engine.probes import parse_monitor
from peekaping.engine.records import Entry, Heartbeat, Status

from .service import AT, down, entry, up

DAY_MS = 86_400_000


def certificate(days: float) -> Certificate:
    return Certificate("CN=example.com", "CN=Some CA", ("example.com",), 0, AT + round(days * DAY_MS), "f", "1")


@pytest.mark.parametrize(
    ("event", "title", "text", "severity"),
    [
        (Event.DOWN, "Website Monitor is down", "Connection timeout", Severity.CRITICAL),
        (Event.UP, "Website Monitor is up again", "Connection timeout, after 1 h 5 min", Severity.INFO),
        (Event.REMINDER, "Website Monitor is still down", "For 1 h 5 min: Connection timeout", Severity.CRITICAL),
        (Event.CREATED, "Website Monitor was created", "Connection timeout", Severity.INFO),
        (Event.HEARTBEAT, "Website Monitor reported down", "Connection timeout", Severity.INFO),
    ],
)
def test_each_event_has_its_words(event: Event, title: str, text: str, severity: Severity) -> None:
    heartbeat = Heartbeat(123, AT, Status.DOWN, "Connection timeout")
    message = compose(event, key="k", at=AT, entry=entry(), heartbeat=heartbeat, down_since=AT - 3_900_000)
    said = "" if event is Event.CREATED else text
    assert (message.title, message.text, message.severity) == (title, said, severity)


@pytest.mark.parametrize(
    ("days", "title"),
    [
        (7.5, "The certificate of Website Monitor ends in 7 days"),
        (1.5, "The certificate of Website Monitor ends in 1 day"),
        (0.5, "The certificate of Website Monitor ends today"),
        (-0.5, "The certificate of Website Monitor has ended"),
    ],
)
def test_a_certificate_that_ends(days: float, title: str) -> None:
    message = compose(Event.CERTIFICATE, key="k", at=AT, entry=entry(), certificate=certificate(days))
    assert message.title == title
    assert message.text == "CN=example.com, issued by CN=Some CA"
    assert message.severity is Severity.WARNING


def test_a_recovery_is_about_what_failed_and_a_certificate_is_another_matter() -> None:
    expiring = compose(Event.CERTIFICATE, key="k", at=AT, entry=entry(), certificate=certificate(7))
    assert down().subject == up().subject == "peekaping/monitor-123"
    assert expiring.subject == "peekaping/monitor-123/certificate"


def test_a_title_is_one_line() -> None:
    assert down(name="a\r\nb").title == "a b is down"


def test_a_test_looks_like_an_alert() -> None:
    message = compose(Event.TEST, key="k", at=AT)
    assert message.monitor is not None
    assert message.heartbeat is not None
    assert (message.title, message.text) == ("Peekaping test", "This channel works")


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"type": "http", "url": "https://example.com/x"}, "https://example.com/x"),
        ({"type": "tcp", "host": "db", "port": 5432}, "tcp://db:5432"),
        ({"type": "ping", "host": "::1"}, "ping://[::1]"),
        ({"type": "push"}, None),
    ],
)
def test_a_monitor_is_told_with_an_address(fields: dict[str, object], address: str | None) -> None:
    made = Entry(1, parse_monitor({"name": "x", **fields}, min_interval_ms=1000), AT, AT)
    assert facts_of(made).url == address


def test_a_burst_is_told_in_one() -> None:
    messages = [up(number=2, name="b"), down(number=1, name="a"), down(number=3, name="c")]
    told = grouped(messages, key="g", at=AT)
    assert told.title == "2 monitors are down, 1 monitor is up again"
    assert told.text.splitlines() == [
        "b is up again: OK, after 5 min",
        "a is down: Connection timeout",
        "c is down: Connection timeout",
    ]
    assert (told.event, told.severity, told.key) == (Event.DOWN, Severity.CRITICAL, "g")


def test_a_burst_counts_each_monitor_once_as_it_is_now() -> None:
    flapped = [down(number=1), up(number=1), down(number=1), up(number=1)]
    told = grouped(flapped, key="g", at=AT)
    assert (told.title, told.event, told.severity) == ("1 monitor is up again", Event.UP, Severity.INFO)
    assert len(told.text.splitlines()) == 4, "what happened is told all the same"
    told = grouped([*flapped, down(number=1), down(number=2), up(number=3)], key="g", at=AT)
    assert (told.title, told.event) == ("2 monitors are down, 1 monitor is up again", Event.DOWN)


def test_a_burst_of_hundreds_is_cut() -> None:
    told = grouped([down(number=number) for number in range(1, 301)], key="g", at=AT)
    assert told.title == "300 monitors are down"
    assert told.text.splitlines()[-1] == "… and 250 more"


def test_what_is_stored_is_what_is_sent() -> None:
    message = grouped([down(), up()], key="g", at=AT)
    assert msgspec.json.decode(msgspec.json.encode(message), type=Message) == message


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 s"),
        (999, "0 s"),
        (59_000, "59 s"),
        (60_000, "1 min"),
        (125_000, "2 min 5 s"),
        (3_600_000, "1 h"),
        (3_605_000, "1 h"),
        (DAY_MS + 3_600_000, "1 day 1 h"),
        (3 * DAY_MS, "3 days"),
        (-5, "0 s"),
    ],
)
def test_spans(ms: int, text: str) -> None:
    assert span(ms) == text


@given(st.integers(min_value=0, max_value=10**12))
def test_a_span_is_short(ms: int) -> None:
    assert 1 <= len(span(ms).split()) // 2 <= 2
