"""Slack, by an incoming webhook."""

from __future__ import annotations

from peekaping.engine.alerts.channel import OptionalText
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import IncomingWebhook, color, named


class Slack(IncomingWebhook, frozen=True, kw_only=True, tag="slack"):
    """One channel of one workspace."""

    username: OptionalText = None
    icon_emoji: OptionalText = None
    channel: OptionalText = None

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
