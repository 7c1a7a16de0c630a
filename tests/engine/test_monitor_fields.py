"""Input becomes a monitor, or a list of everything that is wrong with it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peekaping.engine.errors import Invalid
from peekaping.engine.monitor import fields_of
from peekaping.engine.probes import KINDS, decode_monitor, parse_monitor
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.probes.push import PushMonitor

HTTP = {"type": "http", "name": "Site", "url": "https://example.com/health"}


def errors_of(data: dict[str, Any], min_interval_ms: int = 30_000) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        parse_monitor(data, min_interval_ms=min_interval_ms)
    assert caught.value.errors
    return caught.value.errors


def test_name_and_url_are_enough() -> None:
    monitor = parse_monitor(HTTP, min_interval_ms=30_000)
    assert isinstance(monitor, HttpMonitor)
    assert msgspec.json.decode(msgspec.json.encode(fields_of(monitor))) == {
        "type": "http",
        "name": "Site",
        "url": "https://example.com/health",
        "method": "GET",
        "headers": {},
        "secretHeaders": [],
        "expectedStatusCodes": ["200-299"],
        "timeout": 30_000,
        "interval": 60_000,
        "retries": 0,
        "maxRedirects": 10,
        "maxBodyBytes": 1048576,
        "expectedHeaders": {},
        "invertKeyword": False,
        "authMethod": "none",
        "ignoreTlsErrors": False,
        "checkCertExpiry": False,
        "keepAlive": False,
        "httpVersion": "1.1",
        "notifications": {"enabled": True, "channels": []},
    }


def test_the_contracts_sample_messages() -> None:
    assert errors_of({"type": "http", "name": "x", "interval": 1000}) == {
        "url": ["URL is required"],
        "interval": ["Interval must be at least 30 seconds"],
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("timeout", "\ud800", "Timeout must be a whole number of milliseconds"),
        ("invertKeyword", "\ud800", "Invert keyword must be true or false"),
        ("method", "\ud800", "Method must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("name", "half \ud800 a pair", "Name must be text that UTF-8 can encode"),
        ("expectedHeaders", {"x": "\ud800"}, "Expected headers must be text that UTF-8 can encode"),
        ("secretHeaders", ["\ud800"], "Secret headers must be text that UTF-8 can encode"),
        ("notifications", {"channels": ["\ud800"]}, "Notifications must be text that UTF-8 can encode"),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_in_every_field(field: str, value: object, message: str) -> None:
    assert errors_of({**HTTP, field: value}) == {field: [message]}


def test_every_wrong_field_is_named_at_once() -> None:
    errors = errors_of(
        {
            "type": "http",
            "name": " ",
            "url": "ftp://example.com",
            "interval": "often",
            "timeout": 1,
            "retries": -1,
            "headers": {"X": 1},
            "expectedStatusCodes": [200, "300-200"],
            "colour": "red",
        }
    )
    assert errors == {
        "name": ["Name is required"],
        "url": ["URL must start with http:// or https://"],
        "interval": ["Interval must be a whole number of milliseconds"],
        "timeout": ["Timeout must be between 100 and 86400000 milliseconds"],
        "retries": ["Retries must be between 0 and 1000"],
        "headers": ["Headers must be an object of texts"],
        "expectedStatusCodes": [
            "Expected status codes must be codes or ranges such as 200 or \"200-299\", '300-200' is neither"
        ],
        "colour": ["Unknown field for a monitor of type http"],
    }


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("url", "http://", "must name a host"),
        ("url", "http://user:secret@example.com/", "must not hold a password"),
        ("url", "http://example.com:99999/", "port from 1 to 65535"),
        ("url", "http://example.com:0/", "port from 1 to 65535"),
        ("url", f"http://{'x' * 64}/", "a host that can exist"),
        ("headers", {"Cookie": "********"}, "masked value for Cookie"),
        ("url", "http://exa mple.com/", "a host that can exist"),
        ("url", "http://[::1/", "is not valid"),
        ("method", "FETCH", "must be one of GET, HEAD"),
        ("headers", {"Bad Name": "x"}, "hold a name that is none"),
        ("headers", {"X-A": "x\r\nX-B: y"}, "control characters"),
        ("headers", {"Content-Length": "3"}, "must not set Content-Length"),
        ("expectedStatusCodes", [], "at least one code"),
        ("expectedStatusCodes", [99], "between 100 and 599"),
        ("expectedStatusCodes", ["2xx"], "neither"),
        ("maxRedirects", 51, "between 0 and 50"),
        ("timeout", 60_001, "must not be longer than the interval"),
        ("notifications", {"enabled": 1}, "must be an object"),
        ("retryInterval", 100, "at least 30 seconds"),
        ("name", "x" * 201, "at most 200 characters"),
    ],
)
def test_a_wrong_field_is_refused(field: str, value: object, part: str) -> None:
    (message,) = errors_of({**HTTP, field: value})[field]
    assert part in message


def test_a_name_that_idna_2008_has_not_is_taken_as_it_is_asked_for() -> None:
    parse_monitor({**HTTP, "url": "https://xn--ls8h.la/"}, min_interval_ms=1000)


@pytest.mark.parametrize("kind", [None, "ftp", 7, ["http"]])
def test_the_type_must_be_one_there_is(kind: object) -> None:
    assert list(errors_of({**HTTP, "type": kind})) == ["type"]


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "ftp"}])
def test_without_a_type_the_fields_of_every_type_are_judged(kind: dict[str, Any]) -> None:
    fields = {"name": "", "interval": 1, "timeout": 500, "url": "nowhere", "colour": "red"}
    assert set(errors_of({**kind, **fields})) == {"type", "name", "interval", "timeout"}
    assert set(errors_of({**kind, "name": "Site"})) == {"type"}


def test_what_does_not_go_together_is_said_with_what_is_wrong_alone() -> None:
    fields = {
        "name": " ",
        "url": "nowhere",
        "timeout": 60_001,
        "invertKeyword": True,
        "authMethod": "basic",
        "colour": 1,
    }
    assert set(errors_of({**HTTP, **fields})) == {"name", "url", "timeout", "keyword", "basicAuthUser", "colour"}


def test_a_field_that_breaks_its_own_rule_is_told_of_that() -> None:
    assert errors_of({**HTTP, "timeout": 90_000_000}) == {
        "timeout": ["Timeout must be between 100 and 86400000 milliseconds"]
    }


def test_what_could_not_be_read_is_not_compared() -> None:
    assert set(errors_of({**HTTP, "interval": "a day", "timeout": 90_000})) == {"interval"}
    assert set(errors_of({**HTTP, "authMethod": "mtls", "tlsCert": "x", "tlsKey": "********"})) == {"tlsKey"}


def test_the_default_timeout_never_exceeds_the_interval() -> None:
    assert parse_monitor({**HTTP, "interval": 30_000}, min_interval_ms=1000).timeout_ms == 30_000
    assert parse_monitor({**HTTP, "interval": 1000}, min_interval_ms=1000).timeout_ms == 1000


def test_a_push_monitors_grace_is_a_tenth_of_its_interval_up_to_ten_seconds() -> None:
    def grace(**fields: int) -> int:
        monitor = parse_monitor({"type": "push", "name": "job", **fields}, min_interval_ms=1000)
        assert isinstance(monitor, PushMonitor)
        return monitor.grace_ms

    assert grace(interval=60_000) == 6_000
    assert grace(interval=3_600_000) == 10_000
    assert grace(interval=60_000, grace=0) == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
field_names = st.sampled_from([field.encode_name for field in msgspec.structs.fields(HttpMonitor)]) | st.text(
    max_size=8
)


@given(st.dictionaries(field_names, json_values, max_size=6), st.sampled_from(sorted(KINDS)))
def test_any_json_is_taken_whole_or_refused_with_reasons(fields: dict[str, Any], kind: str) -> None:
    required = {"url": "http://a/" if kind == "http" else "ws://a/", "host": "a", "port": 1, "name": "x"}
    names = {field.encode_name for field in msgspec.structs.fields(KINDS[kind][0]) if field.required}
    base: dict[str, Any] = {name: required[name] for name in names}
    try:
        monitor = parse_monitor({**base, **fields, "type": kind}, min_interval_ms=1000)
    except Invalid as refused:
        wrong = refused.errors
        assert wrong
        assert all(wrong.values())
    else:
        assert decode_monitor(msgspec.json.encode(monitor)) == monitor, "it is stored as it was taken"
        shown = {key: value for key, value in fields_of(monitor).items() if key != "type"}
        again = parse_monitor({**shown, "type": kind}, min_interval_ms=1000)
        assert fields_of(again) == fields_of(monitor), "what is shown can be sent back"
