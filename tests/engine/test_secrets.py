"""Secrets are written and never shown."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.errors import Invalid
from peekaping.engine.monitor import fields_of

from .scripted import OK, ScriptedNetwork, engine_on, http

HEADERS = {"Authorization": "Bearer s3cret", "cookie": "k=v", "X-Token": "t0ken", "X-Plain": "1"}


async def test_secret_headers_are_masked_and_sent_all_the_same(autojump_clock: MockClock) -> None:
    network = ScriptedNetwork(site=lambda: [OK])
    async with engine_on(network) as engine:
        entry = (await engine.add(http(headers=HEADERS, secretHeaders=["x-token"]))).entry
        await trio.sleep(1)
        shown = fields_of(entry.monitor)
        assert shown["headers"] == {
            "Authorization": "********", "cookie": "********", "X-Token": "********", "X-Plain": "1",
        }  # fmt: skip
        # What was shown can be sent back, with a change beside it.
        changed = await engine.update(entry.id, {**shown, "headers": {**shown["headers"], "X-Plain": "2"}})
        assert fields_of(changed.entry.monitor)["headers"]["X-Plain"] == "2"
        await engine.update(entry.id, {"headers": {"Authorization": "********"}})
        await trio.sleep(1)
    assert all(b"Authorization: Bearer s3cret" in request for request in network.requests)
    assert b"X-Token: t0ken" in network.requests[0]
    assert b"cookie" not in network.requests[-1]


async def test_secret_headers_do_not_follow_a_redirect_to_another_origin(autojump_clock: MockClock) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n"
    network = ScriptedNetwork(site=lambda: [moved], other=lambda: [OK])
    async with engine_on(network) as engine:
        await engine.add(http(headers=HEADERS, secretHeaders=["X-Token"]))
        await trio.sleep(1)
    first, second = network.requests
    assert b"t0ken" in first
    assert b"t0ken" not in second
    assert b"X-Plain: 1" in second


HEADERS_ERROR = {"headers": ["Headers hold a masked value for Authorization; give the secret itself"]}
PASS_ERROR = {"basicAuthPass": ["Basic auth pass is masked; give the secret itself"]}
BY_HEADER = {"headers": {"Authorization": "Bearer s3cret", "X-Plain": "1"}}
BY_PASS = {"authMethod": "basic", "basicAuthUser": "me", "basicAuthPass": "hush"}
BY_TOKEN_HEADER: dict[str, Any] = {"headers": {"X-Token": "t0ken"}, "secretHeaders": ["X-Token"]}
TOKEN_ERROR = {"headers": ["Headers hold a masked value for X-Token; give the secret itself"]}


@pytest.mark.parametrize("sent_back", [True, False])
@pytest.mark.parametrize(
    ("fields", "changes", "errors"),
    [
        (BY_HEADER, {"url": "http://elsewhere/"}, HEADERS_ERROR),
        (BY_HEADER, {"url": "https://site/"}, HEADERS_ERROR),
        (BY_HEADER, {"url": "http://site:8080/"}, HEADERS_ERROR),
        (BY_PASS, {"url": "http://elsewhere/"}, PASS_ERROR),
        # It could be sent by the next change.
        (BY_PASS, {"url": "http://elsewhere/", "authMethod": "none"}, PASS_ERROR),
        (BY_TOKEN_HEADER, {"url": "http://elsewhere/"}, TOKEN_ERROR),
        (BY_TOKEN_HEADER, {"secretHeaders": []}, TOKEN_ERROR),
        (BY_TOKEN_HEADER, {"secretHeaders": None}, TOKEN_ERROR),
        (BY_TOKEN_HEADER, {"secretHeaders": ["X-Other"]}, TOKEN_ERROR),
    ],
)
async def test_a_secret_is_not_kept_where_it_would_be_sent_elsewhere_or_shown(
    fields: dict[str, Any],
    changes: dict[str, Any],
    errors: dict[str, list[str]],
    sent_back: bool,
    autojump_clock: MockClock,
) -> None:
    network = ScriptedNetwork(site=lambda: [OK], elsewhere=lambda: [OK])
    async with engine_on(network) as engine:
        before = (await engine.add(http(**fields))).entry
        shown = fields_of(before.monitor) if sent_back else {}
        with pytest.raises(Invalid) as caught:
            await engine.update(before.id, {**shown, **changes})
        assert caught.value.errors == errors
        assert engine.get(before.id).entry == before
        await trio.sleep(61)
    assert {host for _, host, _, _ in network.connections} == {"site"}


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        (BY_HEADER, {"url": "http://elsewhere/", "headers": {"Authorization": "Bearer other"}}),
        (BY_HEADER, {"url": "http://elsewhere/", "headers": {"X-Plain": "1"}}),
        (BY_PASS, {"url": "http://elsewhere/", "basicAuthPass": "hush"}),
        (BY_PASS, {"url": "http://elsewhere/", "basicAuthPass": None, "authMethod": "none"}),
        (BY_TOKEN_HEADER, {"secretHeaders": [], "headers": {"X-Token": "t0ken"}}),
        # The same origin in other words, and other pages there:
        (BY_HEADER, {"url": "http://SITE:80/other?page=1"}),
        (BY_PASS, {"url": "http://site/other"}),
        (BY_TOKEN_HEADER, {"secretHeaders": ["x-token", "X-Other"]}),
        ({}, {"url": "http://elsewhere/"}),
    ],
)
async def test_a_monitor_moves_on_with_its_secrets_given_again(
    fields: dict[str, Any], changes: dict[str, Any], autojump_clock: MockClock
) -> None:
    network = ScriptedNetwork(site=lambda: [OK], elsewhere=lambda: [OK])
    async with engine_on(network) as engine:
        id = (await engine.add(http(**fields))).entry.id
        await engine.update(id, changes)
        await trio.sleep(1)
    assert b"****" not in network.requests[-1]


@pytest.mark.parametrize(
    "changes", [{"url": "http://["}, {"url": 5}, {"url": None}, {"secretHeaders": 5}, {"headers": 5}]
)
async def test_a_change_that_is_no_sense_is_refused_as_ever(changes: dict[str, Any], autojump_clock: MockClock) -> None:
    async with engine_on(ScriptedNetwork(site=lambda: [OK])) as engine:
        id = (await engine.add(http(**BY_TOKEN_HEADER))).entry.id
        with pytest.raises(Invalid) as caught:
            await engine.update(id, changes)
    assert set(changes) <= set(caught.value.errors)
