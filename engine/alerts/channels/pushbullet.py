"""Pushbullet."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import OptionalText, Text
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, named, service_rule, token_rule
from peekaping.engine.fields import Rule


class Pushbullet(Worded, frozen=True, kw_only=True, tag="pushbullet"):
    """All devices of an account, one of them, or a channel."""

    url: Url = "https://api.pushbullet.com"
    access_token: Text
    device: OptionalText = None
    channel_tag: OptionalText = None

    secrets: ClassVar[frozenset[str]] = frozenset({"accessToken"})
    rules: ClassVar[dict[str, Rule]] = {**Worded.rules, "url": service_rule, "access_token": token_rule}

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message)
        body = {
            "type": "note",
            "title": title,
            "body": text,
            "guid": message.key,  # with it the service drops what it has already
            **named(device_iden=self.device, channel_tag=self.channel_tag),
        }
        headers = {"Access-Token": self.access_token}
        return await web.request("POST", below(self.url, "v2", "pushes"), json=body, headers=headers)
