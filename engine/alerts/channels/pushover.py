"""Pushover."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from peekaping.engine.alerts.channel import OptionalText, Text
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, named, service_rule, token_rule
from peekaping.engine.fields import Rule, between
from peekaping.engine.probes.shared import WholeNumber

EMERGENCY = 2
"""Repeated every `retry` seconds until somebody acknowledges, for `expire` seconds."""


class Pushover(Worded, frozen=True, kw_only=True, tag="pushover"):
    """A user or a group, by an application."""

    url: Url = "https://api.pushover.net"
    user_key: Text
    token: Text
    device: OptionalText = None
    sound: OptionalText = None
    priority: WholeNumber = 0
    ttl: Annotated[int | None, Meta(description="a whole number of seconds")] = None

    secrets: ClassVar[frozenset[str]] = frozenset({"userKey", "token"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "user_key": token_rule,
        "token": token_rule,
        "priority": between(-2, 2),
        "ttl": between(1, 31_536_000),
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message, most_title=250, most_text=1024)
        form = {
            "token": self.token,
            "user": self.user_key,
            "title": title,
            "message": text,
            "priority": self.priority,
            "timestamp": message.at // 1000,
            **named(device=self.device, sound=self.sound, ttl=self.ttl),
        }
        if self.priority == EMERGENCY:
            form |= {"retry": 30, "expire": 3600}
        return await web.request("POST", below(self.url, "1", "messages.json"), data=form)
