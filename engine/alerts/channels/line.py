"""LINE, by its Messaging API."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import Text
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, service_rule, token_rule
from peekaping.engine.fields import Rule


class Line(Worded, frozen=True, kw_only=True, tag="line"):
    """One user, group or room."""

    url: Url = "https://api.line.me"
    access_token: Text
    to: Text

    secrets: ClassVar[frozenset[str]] = frozenset({"accessToken"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "access_token": token_rule,
        "to": token_rule,
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        body = {"to": self.to, "messages": [{"type": "text", "text": self.all_words(message)}]}
        headers = {"Authorization": f"Bearer {self.access_token}"}
        return await web.request("POST", below(self.url, "v2", "bot", "message", "push"), json=body, headers=headers)
