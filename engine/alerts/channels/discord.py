"""Discord, by a webhook."""

from __future__ import annotations

from typing import ClassVar

import httpx

from peekaping.engine.alerts.channel import OptionalText
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import IncomingWebhook, color, named, token_rule
from peekaping.engine.fields import Rule
from peekaping.engine.records import iso


class Discord(IncomingWebhook, frozen=True, kw_only=True, tag="discord"):
    """One channel of one server, or a thread in it."""

    username: OptionalText = None
    thread_id: OptionalText = None

    rules: ClassVar[dict[str, Rule]] = {**IncomingWebhook.rules, "thread_id": token_rule}

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message, most_title=256)
        body = {
            "embeds": [
                {"title": title, "description": text, "color": int(color(message), 16), "timestamp": iso(message.at)}
            ],
            "allowed_mentions": {"parse": []},  # a target must not call everyone
            **named(username=self.username),
        }
        # `wait`: or Discord says that all is well before it has looked.
        return await web.request("POST", _with(self.url, wait="true", **named(thread_id=self.thread_id)), json=body)


def _with(url: str, **query: str) -> str:
    return str(httpx.URL(url).copy_merge_params(query))
