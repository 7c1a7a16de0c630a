"""WhatsApp, by a server of WAHA (WhatsApp HTTP API)."""

from __future__ import annotations

import re
from typing import ClassVar

from peekaping.engine.alerts.channel import OptionalText, Text
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, named, service_rule, token_rule
from peekaping.engine.fields import Rule


def _number_rule(text: str) -> str | None:
    return None if re.fullmatch(r"\+?[0-9 ()-]{5,30}", text) else "must be a telephone number with its country code"


class Whatsapp(Worded, frozen=True, kw_only=True, tag="whatsapp"):
    """One telephone number. `url` is the server."""

    url: Url
    session: Text = "default"
    phone_number: Text
    api_key: OptionalText = None

    secrets: ClassVar[frozenset[str]] = frozenset({"apiKey"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "session": token_rule,
        "phone_number": _number_rule,
        "api_key": token_rule,
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        digits = "".join(filter(str.isdigit, self.phone_number))
        body = {"session": self.session, "chatId": f"{digits}@c.us", "text": self.all_words(message)}
        headers = named(**{"X-Api-Key": self.api_key})
        return await web.request("POST", below(self.url, "api", "sendText"), json=body, headers=headers)
