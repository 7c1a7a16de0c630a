"""Slack, by an incoming webhook."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import OptionalText, url_rule
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, color, named
from peekaping.engine.fields import Rule


class Slack(Worded, frozen=True, kw_only=True, gc=False, rename="camel", tag="slack"):
    """One channel of one workspace."""

    url: Url
    username: OptionalText = None
    icon_emoji: OptionalText = None
    channel: OptionalText = None

    secrets: ClassVar[frozenset[str]] = frozenset({"url"})
    rules: ClassVar[dict[str, Rule]] = {**Worded.rules, "url": url_rule}

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = map(_escaped, self.words(message))
        body = {
            "text": f"*{title}*",
            "attachments": [{"color": f"#{color(message)}", "text": text, "fallback": text}],
            **named(username=self.username, icon_emoji=self.icon_emoji, channel=self.channel),
        }
        return await web.request("POST", self.url, json=body)


def _escaped(text: str) -> str:
    """Slack's own three; without it a target could call a whole channel with <!channel>."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
