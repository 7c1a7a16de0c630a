"""PagerTree, by a webhook integration."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from peekaping.engine.alerts.channel import url_rule
from peekaping.engine.alerts.message import Event, Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded
from peekaping.engine.fields import Rule

URGENCIES = "silent, low, medium, high, critical"


class Pagertree(Worded, frozen=True, kw_only=True, gc=False, rename="camel", tag="pagertree"):
    """One integration. A recovery resolves what the failure opened."""

    url: Url
    urgency: Annotated[
        Literal["silent", "low", "medium", "high", "critical"], Meta(description=f"one of: {URGENCIES}")
    ] = "medium"

    groups: ClassVar[bool] = False
    secrets: ClassVar[frozenset[str]] = frozenset({"url"})
    rules: ClassVar[dict[str, Rule]] = {**Worded.rules, "url": url_rule}

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message)
        body = {
            "event_type": "resolve" if message.event is Event.UP else "create",
            "id": message.subject,
            "title": title,
            "description": text,
            "urgency": self.urgency,
        }
        return await web.request("POST", self.url, json=body)
