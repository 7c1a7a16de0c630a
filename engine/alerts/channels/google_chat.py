"""Google Chat, by a webhook."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import url_rule
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded
from peekaping.engine.fields import Rule


class GoogleChat(Worded, frozen=True, kw_only=True, gc=False, rename="camel", tag="google_chat"):
    """One space."""

    url: Url

    secrets: ClassVar[frozenset[str]] = frozenset({"url"})
    rules: ClassVar[dict[str, Rule]] = {**Worded.rules, "url": url_rule}

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        # A space after the bracket: a target must not call everyone with <users/all>.
        text = self.all_words(message).replace("<users/", "< users/")
        return await web.request("POST", self.url, json={"text": text})
