"""SMS by Twilio."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from peekaping.engine.alerts.channel import OptionalText, Text
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, service_rule, token_rule
from peekaping.engine.fields import Rule, text_up_to


class Twilio(Worded, frozen=True, kw_only=True, tag="twilio"):
    """One telephone number. With `apiKey` the token is that key's secret."""

    url: Url = "https://api.twilio.com"
    account_sid: Text
    auth_token: Text
    api_key: OptionalText = None
    from_: Text = msgspec.field(name="from")
    to: Text

    secrets: ClassVar[frozenset[str]] = frozenset({"authToken"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "account_sid": token_rule,
        "auth_token": token_rule,
        "api_key": token_rule,
        "from_": text_up_to(50),
        "to": text_up_to(50),
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        form = {"From": self.from_, "To": self.to, "Body": self.all_words(message, most=1600)}
        address = below(self.url, "2010-04-01", "Accounts", self.account_sid, "Messages.json")
        return await web.request("POST", address, data=form, auth=(self.api_key or self.account_sid, self.auth_token))
