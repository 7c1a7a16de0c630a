"""Configurations of channels: secrets stay secret, changes keep them, and a fault in a kind stops nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from peekaping.engine.alerts.channel import Channel, NotDelivered, deliver
from peekaping.engine.alerts.channels import (
    CHANNELS,
    changed_channel,
    decode_channel,
    encode_channel,
    parse_channel,
    shown_config,
)
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.errors import Invalid

from .service import LOOPBACK_ALLOWED, Answer, down, service
from .test_services import CONFIGS

SECRET = "s3cret-Value-0123"
MASK = "********"
NEEDED: dict[str, dict[str, Any]] = {
    **CONFIGS,
    "webhook": {"url": "https://s"},
    "email": {"host": "mail", "from": "a@b", "to": ["c@d"], "username": "u"},
    "apprise": {"url": "json://h"},
}


def secretive(kind: str) -> Channel:
    """A channel with every secret that its kind has."""
    config = dict(NEEDED[kind])
    for name in CHANNELS[kind].secrets:
        config[name] = f"https://service.example/{SECRET}" if name == "url" else SECRET
    if kind == "ntfy":
        del config["password"]  # there are two ways to log in
    return parse_channel(kind, config)


@pytest.mark.parametrize("kind", CHANNELS)
def test_secrets_are_never_shown(kind: str) -> None:
    channel = secretive(kind)
    shown = shown_config(channel)
    assert SECRET not in repr(channel)
    assert SECRET not in repr(shown)
    assert all(shown[name] == MASK for name in CHANNELS[kind].secrets & set(shown))
    assert (SECRET in encode_channel(channel)) == bool(CHANNELS[kind].secrets)


@pytest.mark.parametrize("kind", CHANNELS)
def test_what_is_stored_is_what_was_given(kind: str) -> None:
    channel = secretive(kind)
    assert decode_channel(encode_channel(channel)) == channel


@pytest.mark.parametrize("kind", CHANNELS)
def test_what_was_shown_can_be_sent_back(kind: str) -> None:
    channel = secretive(kind)
    assert changed_channel(channel, shown_config(channel)) == channel


def test_a_secret_does_not_go_to_another_destination() -> None:
    channel = secretive("gotify")
    with pytest.raises(Invalid) as refused:
        changed_channel(channel, {"url": "https://elsewhere.example", "token": MASK})
    assert refused.value.errors == {"config.token": ["Token is masked; give the secret itself"]}
    email = parse_channel("email", {**NEEDED["email"], "password": SECRET})
    with pytest.raises(Invalid) as refused:
        changed_channel(email, {"host": "elsewhere"})
    assert refused.value.errors == {"config.password": ["Password is masked; give the secret itself"]}


def test_an_address_that_is_a_secret_can_be_replaced_and_not_invented() -> None:
    channel = secretive("slack")
    moved = changed_channel(channel, {"url": "https://other.example/x"})
    assert "other.example" in encode_channel(moved)
    with pytest.raises(Invalid):
        parse_channel("slack", {"url": MASK})


@pytest.mark.parametrize(
    ("kind", "text"),
    [(None, "Type is required"), ("fax", "Type must be one of: email"), (7, "Type must be one of: email")],
)
def test_an_unknown_type_is_explained(kind: object, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        parse_channel(kind, {})


class Echo(Channel, frozen=True, kw_only=True, gc=False, rename="camel", tag="echo"):
    """Fails with all that it knows."""

    url: str
    secrets = frozenset({"url"})

    async def send(self, message: Message, web: Web) -> str:
        await trio.lowlevel.checkpoint()
        raise NotDelivered(f"no luck with {self.url} by {self.url.rpartition('/')[2]} at host", retry=True)


class Broken(Channel, frozen=True, kw_only=True, gc=False, rename="camel", tag="broken"):
    """Has a bug."""

    token: str

    async def send(self, message: Message, web: Web) -> str:
        await trio.lowlevel.checkpoint()
        raise KeyError(self.token)


async def test_an_error_does_not_tell_a_secret() -> None:
    async with Web(LOOPBACK_ALLOWED) as web:
        with pytest.raises(NotDelivered) as failure:
            await deliver(Echo(url=f"https://host/hook/{SECRET}"), down(), web)
    assert failure.value.text == f"no luck with {MASK} by {MASK} at host"


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("slash", ["/", r"\/"])
async def test_a_secret_that_is_repeated_in_json_is_not_told(ensure_ascii: bool, slash: str) -> None:
    secret = 'pass"word/äöü-very-secret'
    said = json.dumps({"error": "unknown", "secret": secret}, ensure_ascii=ensure_ascii).replace("/", slash)
    async with service(Answer(200, said.encode())) as receiver:
        channel = parse_channel("webhook", {"url": receiver.url, "secret": secret})
        async with Web(LOOPBACK_ALLOWED) as web:
            text = await deliver(channel, down(), web)
    assert text == f'200 OK: {{"error": "unknown", "secret": "{MASK}"}}'


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("between", ["-", " ", "\n \n"])
async def test_an_answer_that_is_cut_shows_no_half_of_a_secret(status: int, between: str) -> None:
    secret = "s3cret  Value 0123"
    async with service(Answer(status, between.join([secret] * 300).encode())) as receiver:
        channel = parse_channel("webhook", {"url": receiver.url, "headers": {"Cookie": secret}})
        async with Web(LOOPBACK_ALLOWED) as web:
            try:
                text = await deliver(channel, down(), web)
            except NotDelivered as failure:
                text = failure.text
    assert text.startswith((f"200 OK: {MASK}", f"The service answered 503 Service Unavailable: {MASK}"))
    assert "s3c" not in text
    assert len(text) < 600
    assert "\n" not in text


async def test_a_bug_in_a_kind_is_a_failure_that_is_tried_again() -> None:
    async with Web(LOOPBACK_ALLOWED) as web:
        with pytest.raises(NotDelivered, match="Peekaping failed to send: KeyError") as failure:
            await deliver(Broken(token=SECRET), down(), web)
    assert failure.value.retry
    assert SECRET not in str(failure.value)
