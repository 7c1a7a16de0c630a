"""Gotify."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import OptionalNumber, Text
from peekaping.engine.alerts.message import Message, Severity
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, service_rule, token_rule
from peekaping.engine.fields import Rule, between


class Gotify(Worded, frozen=True, kw_only=True, tag="gotify"):
    """One application on one server."""

    url: Url
    token: Text
    priority: OptionalNumber = None

    secrets: ClassVar[frozenset[str]] = frozenset({"token"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "token": token_rule,
        "priority": between(0, 10),
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message)
        urgent = 8 if message.severity is Severity.CRITICAL else 5
        priority = urgent if self.priority is None else self.priority
        body = {"title": title, "message": text, "priority": priority}
        return await web.request("POST", below(self.url, "message"), json=body, headers={"X-Gotify-Key": self.token})
