"""What an HTTP monitor may ask for: all else is refused when it is saved, never passed when it is checked."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import trustme
from trio.testing import MockClock

from peekaping.engine.errors import Invalid
from peekaping.engine.memory import MemoryStore
from peekaping.engine.monitor import fields_of
from peekaping.engine.probes import decode_monitor, parse_monitor
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.secrets import MASK

from .scripted import OK, ScriptedNetwork, engine_on, http

AUTHORITY = trustme.CA()
CLIENT = AUTHORITY.issue_cert("client.example")
CHAIN = "".join(pem.bytes().decode() for pem in CLIENT.cert_chain_pems)
KEY = CLIENT.private_key_pem.bytes().decode()
OTHER_KEY = AUTHORITY.issue_cert("other.example").private_key_pem.bytes().decode()
ROOT = AUTHORITY.cert_pem.bytes().decode()


def parse(**fields: Any) -> HttpMonitor:
    monitor = parse_monitor({"type": "http", "name": "x", "url": "http://site/", **fields}, min_interval_ms=1000)
    assert isinstance(monitor, HttpMonitor)
    return monitor


def errors_of(**fields: Any) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        parse(**fields)
    return caught.value.errors


JSON = {"jsonQuery": "$.a", "expectedValue": 1}


@pytest.mark.parametrize(
    "fields",
    [
        {"keyword": "x", "invertKeyword": True},
        JSON,
        {**JSON, "jsonCondition": "contains", "expectedValue": "text"},
        {**JSON, "jsonCondition": ">=", "expectedValue": "1.5"},
        {**JSON, "expectedValue": False},
        {**JSON, "jsonQuery": "$..a[?@.b == 'c' && count(@.*) > $.limit]['d','e']"},
        {"expectedHeaders": {"Content-Length": "2"}},
        {"degradedAfter": 100},
        {"authMethod": "basic", "basicAuthUser": "me", "basicAuthPass": "a:b"},
        {"authMethod": "basic", "basicAuthUser": "me"},
        {"authMethod": "bearer", "bearerToken": "abc.DEF-1=="},
        {"authMethod": "mtls", "tlsCert": CHAIN, "tlsKey": KEY},
        {"tlsCa": ROOT, "ignoreTlsErrors": False, "checkCertExpiry": True},
        {"ipVersion": 4, "keepAlive": True},
    ],
)
def test_what_is_understood_is_kept(fields: dict[str, Any]) -> None:
    monitor = parse(**fields)
    assert decode_monitor(msgspec.json.encode(monitor)) == monitor


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"keyword": " "}, ["keyword"]),
        ({"keyword": "x" * 1001}, ["keyword"]),
        ({**JSON, "expectedValue": "x" * 1001}, ["expectedValue"]),
        ({**JSON, "expectedValue": "[" * 1001}, ["expectedValue"]),
        ({"invertKeyword": True}, ["keyword"]),
        ({"keyword": "x", "method": "HEAD"}, ["keyword"]),
        ({**JSON, "method": "HEAD"}, ["jsonQuery"]),
        ({"jsonQuery": "$.a"}, ["expectedValue"]),
        ({"expectedValue": 1}, ["expectedValue"]),
        ({"jsonCondition": "==", "expectedValue": 1}, ["expectedValue", "jsonCondition"]),
        ({**JSON, "jsonCondition": "=~"}, ["jsonCondition"]),
        ({**JSON, "jsonCondition": ">", "expectedValue": "many"}, ["expectedValue"]),
        ({**JSON, "jsonCondition": "<", "expectedValue": True}, ["expectedValue"]),
        ({**JSON, "expectedValue": [1]}, ["expectedValue"]),
        ({**JSON, "maxBodyBytes": 1_048_577}, ["maxBodyBytes"]),
        ({"expectedHeaders": {"X A": "1"}}, ["expectedHeaders"]),
        ({"expectedHeaders": {"X": "a\r\nb"}}, ["expectedHeaders"]),
        ({"expectedHeaders": {"X": 1}}, ["expectedHeaders"]),
        ({"degradedAfter": 0}, ["degradedAfter"]),
        ({"authMethod": "digest"}, ["authMethod"]),
        ({"authMethod": "basic"}, ["basicAuthUser"]),
        ({"authMethod": "basic", "basicAuthUser": "a:b"}, ["basicAuthUser"]),
        ({"authMethod": "basic", "basicAuthUser": "a", "basicAuthPass": "x\n"}, ["basicAuthPass"]),
        ({"authMethod": "basic", "basicAuthUser": "a", "headers": {"authorization": "x"}}, ["headers"]),
        ({"authMethod": "bearer"}, ["bearerToken"]),
        ({"authMethod": "bearer", "bearerToken": "a b"}, ["bearerToken"]),
        ({"authMethod": "bearer", "bearerToken": "a\r\nX: y"}, ["bearerToken"]),
        ({"authMethod": "mtls", "tlsCert": CHAIN}, ["tlsKey"]),
        ({"authMethod": "mtls", "tlsCert": CHAIN, "tlsKey": OTHER_KEY}, ["tlsCert"]),
        ({"authMethod": "mtls", "tlsCert": "nonsense", "tlsKey": KEY}, ["tlsCert"]),
        ({"authMethod": "mtls", "tlsCert": CHAIN, "tlsKey": KEY, "tlsCa": "nonsense"}, ["tlsCa"]),
        ({"tlsCa": "nonsense"}, ["tlsCa"]),
        ({"tlsCa": ""}, ["tlsCa"]),
        ({"tlsCa": "né"}, ["tlsCa"]),
        ({"ipVersion": 5}, ["ipVersion"]),
        ({"keepAlive": "yes"}, ["keepAlive"]),
        ({"url": "http://me:secret@site/"}, ["url"]),
    ],
)
def test_what_is_not_understood_is_refused(fields: dict[str, Any], wrong: list[str]) -> None:
    errors = errors_of(**fields)
    assert sorted(errors) == wrong
    for name, texts in errors.items():
        words = re.sub("[A-Z]", lambda capital: f" {capital[0]}", name).lower()
        assert all(text.lower().startswith(words) for text in texts), "each names its field"


@pytest.mark.parametrize(
    ("field", "label"),
    [("jsonQuery", "JSON query"), ("ipVersion", "IP version"), ("tlsCa", "TLS CA"), ("httpVersion", "HTTP version")],
)
def test_acronyms_are_written_as_such(field: str, label: str) -> None:
    (text,) = errors_of(**{field: [1]})[field]
    assert text.startswith(f"{label} must be ")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "a.b",
        "$.",
        "$.a ",
        "$[01]",
        "$.a | $.b",
        "$[?@.a =~ /x/]",
        "$[?@.a <> 1]",
        "$[?match(@.a, 'x')]",
        "$[?search(@.a, 'x')]",
        "$[?typeof(@.a) == 'number']",
        "$[" + "?@[" * 2000,
        "$.a" + "a" * 1000,
        # Those that would look at a large body's values again and again:
        "$..a..b",
        "$..[?@..a]",
        "$[?count(@..a) > 1]",
        "$[?$.all[?@.x]]",
        "$[?count($.*) > 1]",
        "$[?!(@.a == 1 && @..b)]",
        "$[?count(@[?$.*]) > 1]",
        "$" + "[*,*]" * 5,
        "$[?@[?@[?@[*,*,*,*,*,*,*,*][*,*,*]]]]",
        "$[?" + " && ".join(["1==1"] * 5) + "]",
        "$[?" + " || ".join(["length(@)==1"] * 4) + "]",
        "$[?@" + "[0]" * 20 + "]",
        "$.." + "[*]" * 20,
        "$[?$.a == $.b]",
        "$[?@.a && value($.a) != $.b]",
    ],
)
def test_a_json_path_that_is_none_or_takes_too_long_is_refused(query: str) -> None:
    assert list(errors_of(jsonQuery=query, expectedValue=1)) == ["jsonQuery"]


def test_secrets_are_masked_where_monitors_are_shown() -> None:
    monitor = parse(authMethod="basic", basicAuthUser="me", basicAuthPass="hush", bearerToken="t", tlsKey=KEY)
    shown = fields_of(monitor)
    assert [shown[name] for name in ("basicAuthUser", "basicAuthPass", "bearerToken", "tlsKey")] == ["me", *[MASK] * 3]
    assert "bearerToken" not in fields_of(parse())


def test_a_mask_is_no_secret() -> None:
    assert errors_of(bearerToken=MASK) == {"bearerToken": ["Bearer token is masked; give the secret itself"]}


async def test_a_secret_that_comes_back_masked_stays_what_it_was(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network, MemoryStore()) as engine:
        id = (await engine.add(http(authMethod="bearer", bearerToken="hush"))).entry.id
        shown = fields_of(engine.get(id).entry.monitor)
        await engine.update(id, {**shown, "name": "new"})
        monitor = engine.get(id).entry.monitor
        assert isinstance(monitor, HttpMonitor)
        assert (monitor.name, monitor.bearer_token) == ("new", "hush")
        await engine.update(id, {"bearerToken": "louder"})
        with pytest.raises(Invalid):  # there is none that the mask could stand for
            await engine.update(id, {"basicAuthPass": MASK})
        await engine.update(id, {"bearerToken": None, "authMethod": "none"})
        monitor = engine.get(id).entry.monitor
        assert isinstance(monitor, HttpMonitor)
        assert monitor.bearer_token is None
