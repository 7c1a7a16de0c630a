"""Webhooks: the events of the API reference, each in a POST of its own, signed."""

from __future__ import annotations

import hmac
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from peekaping.engine.alerts.channel import Channel, OptionalText, url_rule
from peekaping.engine.alerts.message import Event, Message, shown_facts
from peekaping.engine.alerts.web import Web
from peekaping.engine.fields import Rule, text_up_to
from peekaping.engine.probes.http_rules import headers_rule
from peekaping.engine.records import iso

OURS = frozenset({"content-type", "host", "user-agent", "idempotency-key", "x-peekaping-signature"})


def _headers_rule(headers: dict[str, str]) -> str | None:
    for name in headers:
        if name.lower() in OURS:
            return f"must not set {name}: it is ours to say"
    return headers_rule(headers)


def _events_rule(events: tuple[Event, ...]) -> str | None:
    return None if events else "must name at least one event"


class Webhook(Channel, frozen=True, kw_only=True, tag="webhook"):
    """Any program that takes a POST."""

    url: Annotated[str, Meta(description="a URL")]
    secret: OptionalText = None
    events: Annotated[tuple[Event, ...], Meta(description=f"a list of events, each one of: {', '.join(Event)}")] = (
        Event.DOWN,
        Event.UP,
        Event.REMINDER,
        Event.CERTIFICATE,
    )
    headers: Annotated[dict[str, str], Meta(description="an object of texts")] = msgspec.field(default_factory=dict)
    secret_headers: Annotated[tuple[str, ...], Meta(description="a list of texts")] = ()

    groups: ClassVar[bool] = False
    rules: ClassVar[dict[str, Rule]] = {
        "url": url_rule,
        "secret": text_up_to(500),
        "events": _events_rule,
        "headers": _headers_rule,
    }
    secrets: ClassVar[frozenset[str]] = frozenset({"secret"})

    def wants(self, event: Event) -> bool:
        """See `Channel.wants`."""
        return event in self.events or event is Event.TEST

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        body = msgspec.json.encode(payload(message))
        headers = {**self.headers, "Content-Type": "application/json", "Idempotency-Key": message.key}
        if self.secret is not None:
            headers["X-Peekaping-Signature"] = signature(body, self.secret)
        return await web.request("POST", self.url, content=body, headers=headers)


def signature(body: bytes, secret: str) -> str:
    """Lower-case hexadecimal HMAC-SHA256 of exactly these bytes."""
    return hmac.digest(secret.encode(), body, "sha256").hex()


def payload(message: Message) -> dict[str, Any]:
    """The body as the API reference has it; only a certificate's event has more."""
    data = shown_facts(message)
    if data["certificate"] is None:
        del data["certificate"]
    return {"event": message.event, "timestamp": iso(message.at), "data": data}
