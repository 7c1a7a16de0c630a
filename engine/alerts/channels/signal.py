"""Signal, by a server of signal-cli-rest-api."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import Text
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Texts, Url, Worded, below, service_rule
from peekaping.engine.fields import Rule, text_up_to


def _recipients_rule(recipients: tuple[str, ...]) -> str | None:
    return None if 0 < len(recipients) <= 100 else "must name 1 to 100 recipients"


class Signal(Worded, frozen=True, kw_only=True, tag="signal"):
    """People or groups. `url` is the server."""

    url: Url
    number: Text
    recipients: Texts

    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "number": text_up_to(50),
        "recipients": _recipients_rule,
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        body = {"message": self.all_words(message), "number": self.number, "recipients": self.recipients}
        return await web.request("POST", below(self.url, "v2", "send"), json=body)
