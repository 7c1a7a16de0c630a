"""E-mail by SendGrid."""

from __future__ import annotations

from email.utils import parseaddr
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from peekaping.engine.alerts.channel import Text
from peekaping.engine.alerts.channels.email import Addresses, address_rule, addresses_rule, to_rule
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, service_rule, token_rule
from peekaping.engine.fields import Rule


class Sendgrid(Worded, frozen=True, kw_only=True, tag="sendgrid"):
    """One mail for each message, to all addresses at once."""

    url: Url = "https://api.sendgrid.com"
    api_key: Text
    from_: Annotated[str, Meta(description="an e-mail address")] = msgspec.field(name="from")
    to: Addresses
    cc: Addresses = ()
    bcc: Addresses = ()

    secrets: ClassVar[frozenset[str]] = frozenset({"apiKey"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "api_key": token_rule,
        "from_": address_rule,
        "to": to_rule,
        "cc": addresses_rule,
        "bcc": addresses_rule,
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message)
        groups = {"to": self.to, "cc": self.cc, "bcc": self.bcc}
        people = {name: [_person(one) for one in addresses] for name, addresses in groups.items() if addresses}
        body = {
            "personalizations": [people],
            "from": _person(self.from_),
            "subject": title,
            "content": [{"type": "text/plain", "value": text}],
        }
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return await web.request("POST", below(self.url, "v3", "mail", "send"), json=body, headers=headers)


def _person(text: str) -> dict[str, str]:
    name, address = parseaddr(text)
    return {"email": address, "name": name} if name else {"email": address}
