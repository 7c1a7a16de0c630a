"""Webhooks are sent as the API reference has them, and what comes back is judged."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from peekaping.engine.alerts.channel import NotDelivered
from peekaping.engine.alerts.channels import parse_channel
from peekaping.engine.alerts.message import Event, compose
from peekaping.engine.errors import Invalid

from ..targets import free_port, serving, silence
from .service import AT, AT_ISO, Answer, down, entry, send, service


async def test_the_payload_is_that_of_the_reference() -> None:
    async with service() as receiver:
        assert await send("webhook", {"url": f"{receiver.url}/hook?a=b"}) == "200 OK: ok"
    assert receiver.request.method == "POST"
    assert receiver.request.target == "/hook?a=b"
    assert receiver.request.headers["content-type"] == "application/json"
    assert receiver.request.json == {
        "event": "monitor.down",
        "timestamp": AT_ISO,
        "data": {
            "monitor": {
                "id": "monitor-123",
                "name": "Website Monitor",
                "url": "https://example.com",
                "type": "http",
            },
            "heartbeat": {
                "status": "down",
                "message": "Connection timeout",
                "responseTime": None,
                "timestamp": AT_ISO,
            },
        },
    }


async def test_every_try_has_the_same_key_and_the_exact_bytes_are_signed() -> None:
    async with service() as receiver:
        for _ in range(2):
            await send("webhook", {"url": receiver.url, "secret": "hush"}, down(key="delivery-77"))
    for request in receiver.requests:
        assert request.headers["idempotency-key"] == "delivery-77"
        expected = hmac.new(b"hush", request.body, hashlib.sha256).hexdigest()
        assert request.headers["x-peekaping-signature"] == expected


async def test_without_a_secret_nothing_is_signed() -> None:
    async with service() as receiver:
        await send("webhook", {"url": receiver.url})
    assert "x-peekaping-signature" not in receiver.request.headers


async def test_own_headers_are_sent() -> None:
    async with service() as receiver:
        await send("webhook", {"url": receiver.url, "headers": {"X-Team": "ops"}})
    assert receiver.request.headers["x-team"] == "ops"


@pytest.mark.parametrize("event", [Event.CREATED, Event.UPDATED, Event.DELETED])
async def test_a_change_is_told_without_a_heartbeat(event: Event) -> None:
    message = compose(event, key="k", at=AT, entry=entry())
    async with service() as receiver:
        await send("webhook", {"url": receiver.url, "events": [event]}, message)
    assert receiver.request.json["event"] == event
    assert receiver.request.json["data"]["monitor"]["name"] == "Website Monitor"
    assert receiver.request.json["data"]["heartbeat"] is None


def test_only_the_events_that_are_listed_are_wanted() -> None:
    listed = parse_channel("webhook", {"url": "http://h", "events": ["monitor.created"]})
    assert [event for event in Event if listed.wants(event)] == [Event.CREATED, Event.TEST]
    plain = parse_channel("webhook", {"url": "http://h"})
    assert [event for event in Event if not plain.wants(event)] == [
        Event.CREATED,
        Event.UPDATED,
        Event.DELETED,
        Event.HEARTBEAT,
    ]


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ({}, {"config.url": ["URL is required"]}),
        ({"url": "ftp://h"}, {"config.url": ["URL must start with http:// or https://"]}),
        ({"url": "http://me:pw@h"}, {"config.url": ["URL must hold neither user nor password"]}),
        ({"url": "http://h", "events": []}, {"config.events": ["Events must name at least one event"]}),
        (
            {"url": "http://h", "headers": {"Idempotency-Key": "1"}},
            {"config.headers": ["Headers must not set Idempotency-Key: it is ours to say"]},
        ),
        ({"url": "http://h", "colour": 1}, {"config.colour": ["Unknown field for a channel of type webhook"]}),
    ],
)
def test_a_wrong_configuration_is_explained(config: dict[str, Any], wrong: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid) as refused:
        parse_channel("webhook", config)
    assert refused.value.errors == wrong


# What comes back


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
async def test_trouble_that_may_pass_is_tried_again(status: int) -> None:
    async with service(Answer(status, b"later")) as receiver:
        with pytest.raises(NotDelivered, match=f"{status}.*later") as failure:
            await send("webhook", {"url": receiver.url})
    assert failure.value.retry


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
async def test_a_refusal_is_final(status: int) -> None:
    async with service(Answer(status)) as receiver:
        with pytest.raises(NotDelivered) as failure:
            await send("webhook", {"url": receiver.url})
    assert not failure.value.retry


@pytest.mark.parametrize(
    ("header", "after_s"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("99999999", 86400.0),
        ("soon", None),
        ("nan", None),
    ],
)
async def test_a_service_says_when_to_come_again(header: str, after_s: float | None) -> None:
    async with service(Answer(429, headers=(("Retry-After", header),))) as receiver:
        with pytest.raises(NotDelivered) as failure:
            await send("webhook", {"url": receiver.url})
    assert failure.value.retry
    assert failure.value.after_s == after_s


async def test_a_redirect_is_not_followed() -> None:
    async with service() as other, service(Answer(307, headers=(("Location", other.url),))) as receiver:
        with pytest.raises(NotDelivered, match="leads elsewhere") as failure:
            await send("webhook", {"url": receiver.url, "secret": "hush"})
    assert not failure.value.retry
    assert other.requests == []


async def test_nobody_there_is_tried_again() -> None:
    with pytest.raises(NotDelivered, match="Connection refused") as failure:
        await send("webhook", {"url": f"http://127.0.0.1:{free_port()}"})
    assert failure.value.retry


async def test_silence_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peekaping.engine.alerts.channel.SEND_WITHIN_S", 0.1)
    async with serving(silence) as port:
        with pytest.raises(NotDelivered, match="did not answer") as failure:
            await send("webhook", {"url": f"http://127.0.0.1:{port}"})
    assert failure.value.retry


async def test_an_answer_that_is_no_http_is_tried_again() -> None:
    async def babble(stream: Any) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"hello\r\n\r\n")

    async with serving(babble) as port:
        with pytest.raises(NotDelivered, match="no HTTP") as failure:
            await send("webhook", {"url": f"http://127.0.0.1:{port}"})
    assert failure.value.retry


async def test_an_endless_answer_is_cut() -> None:
    async def flood(stream: Any) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65536)

    async with serving(flood) as port:
        said = await send("webhook", {"url": f"http://127.0.0.1:{port}"})
    assert said.startswith("200 OK: xxx")
    assert len(said) < 600


async def test_a_denied_address_is_not_reached() -> None:
    with pytest.raises(NotDelivered, match=r"may not connect to 169\.254\.169\.254") as failure:
        await send("webhook", {"url": "http://169.254.169.254/latest"})
    assert not failure.value.retry


async def test_what_a_service_repeats_of_a_secret_is_not_shown_when_all_is_well() -> None:
    async with service(Answer(200, b"thanks for t0ken-value")) as receiver:
        said = await send("webhook", {"url": receiver.url, "headers": {"Authorization": "t0ken-value"}})
    assert said == "200 OK: thanks for ********"


async def test_what_a_service_repeats_of_a_secret_is_not_shown() -> None:
    async with service(Answer(400, json.dumps({"got": "Bearer t0ken-value"}).encode())) as receiver:
        config = {"url": receiver.url, "headers": {"Authorization": "Bearer t0ken-value"}}
        with pytest.raises(NotDelivered) as failure:
            await send("webhook", config)
    assert "t0ken" not in failure.value.text
    assert "t0ken" not in str(failure.value)
    assert "********" in failure.value.text
