"""Mattermost, by an incoming webhook."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import OptionalText, url_rule
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import IncomingWebhook, color, named
from peekaping.engine.fields import Rule


class Mattermost(IncomingWebhook, frozen=True, kw_only=True, tag="mattermost"):
    """One channel of one team."""

    username: OptionalText = None
    icon_url: OptionalText = None
    channel: OptionalText = None

    rules: ClassVar[dict[str, Rule]] = {**IncomingWebhook.rules, "icon_url": url_rule}

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message)
        body = {
            "attachments": [{"color": f"#{color(message)}", "title": title, "text": text, "fallback": title}],
            **named(username=self.username, icon_url=self.icon_url, channel=self.channel),
        }
        return await web.request("POST", self.url, json=body)
