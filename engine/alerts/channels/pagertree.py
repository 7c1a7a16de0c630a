"""PagerTree, by a webhook integration."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from peekaping.engine.alerts.message import Event, Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import IncomingWebhook

URGENCIES = "silent, low, medium, high, critical"


class Pagertree(IncomingWebhook, frozen=True, kw_only=True, tag="pagertree"):
    """One integration. A recovery resolves what the failure opened."""

    urgency: Annotated[
        Literal["silent", "low", "medium", "high", "critical"], Meta(description=f"one of: {URGENCIES}")
    ] = "medium"

    groups: ClassVar[bool] = False

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
