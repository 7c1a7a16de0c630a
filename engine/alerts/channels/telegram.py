"""Telegram, by a bot."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from peekaping.engine.alerts.channel import Flag, NotDelivered, OptionalNumber, Text
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, named, service_rule, token_rule
from peekaping.engine.fields import Rule


class Telegram(Worded, frozen=True, kw_only=True, tag="telegram"):
    """One chat, or a topic in it. `url` is the Bot API server."""

    url: Url = "https://api.telegram.org"
    bot_token: Text
    chat_id: Text
    message_thread_id: OptionalNumber = None
    parse_mode: Annotated[Literal["HTML", "MarkdownV2"] | None, Meta(description="HTML or MarkdownV2")] = None
    silent: Flag = False
    protect_content: Flag = False

    secrets: ClassVar[frozenset[str]] = frozenset({"botToken"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "bot_token": token_rule,
        "chat_id": token_rule,
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        body: dict[str, object] = {
            "chat_id": self.chat_id,
            "text": self.all_words(message),
            "disable_notification": self.silent,
            "protect_content": self.protect_content,
            **named(message_thread_id=self.message_thread_id, parse_mode=self.parse_mode),
        }
        address = below(self.url, f"bot{self.bot_token}", "sendMessage")
        try:
            return await web.request("POST", address, json=body)
        except NotDelivered as failure:
            if "can't parse entities" not in failure.text:
                raise
        # What a target said is no markup, or the template's is wrong: as plain text it is at least told.
        del body["parse_mode"]
        return await web.request("POST", address, json=body)
