"""Matrix, by the client API of a homeserver."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import Text
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, service_rule, token_rule
from peekaping.engine.fields import Rule


class Matrix(Worded, frozen=True, kw_only=True, tag="matrix"):
    """One room. `url` is the homeserver."""

    url: Url
    room_id: Text
    access_token: Text

    secrets: ClassVar[frozenset[str]] = frozenset({"accessToken"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "room_id": token_rule,
        "access_token": token_rule,
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        # The key is the transaction: the homeserver itself drops what it has already.
        path = ("_matrix", "client", "v3", "rooms", self.room_id, "send", "m.room.message", message.key)
        body = {"msgtype": "m.text", "body": self.all_words(message)}
        headers = {"Authorization": f"Bearer {self.access_token}"}
        return await web.request("PUT", below(self.url, *path), json=body, headers=headers)
