"""Google Chat, by a webhook."""

from __future__ import annotations

from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import IncomingWebhook


class GoogleChat(IncomingWebhook, frozen=True, kw_only=True, tag="google_chat"):
    """One space."""

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        # A space after the bracket: a target must not call everyone with <users/all>.
        text = self.all_words(message).replace("<users/", "< users/")
        return await web.request("POST", self.url, json={"text": text})
