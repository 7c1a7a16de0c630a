"""ntfy, on ntfy.sh or one's own server."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import OptionalNumber, OptionalText, Text
from peekaping.engine.alerts.message import Message, Severity
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Texts, Url, Worded, named, service_rule, token_rule
from peekaping.engine.fields import Errors, Rule, between
from peekaping.engine.probes.http_rules import password_rule, user_rule


class Ntfy(Worded, frozen=True, kw_only=True, tag="ntfy"):
    """One topic."""

    url: Url = "https://ntfy.sh"
    topic: Text
    token: OptionalText = None
    username: OptionalText = None
    password: OptionalText = None
    priority: OptionalNumber = None
    tags: Texts = ()

    secrets: ClassVar[frozenset[str]] = frozenset({"token", "password"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "topic": token_rule,
        "token": token_rule,
        "username": user_rule,
        "password": password_rule,
        "priority": between(1, 5),
    }

    def check_together(self) -> Errors:
        """See `Record.check_together`."""
        if self.token is not None and self.username is not None:
            return {"token": ["Token and username are two ways to log in; give one"]}
        if self.password is not None and self.username is None:
            return {"username": ["Username is required with a password"]}
        return {}

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message)
        body = {
            "topic": self.topic,
            "title": title,
            "message": text,
            "priority": self.priority or (4 if message.severity is Severity.CRITICAL else 3),
            **named(tags=self.tags or None),
        }
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        auth = None if self.username is None else (self.username, self.password or "")
        return await web.request("POST", self.url, json=body, headers=headers, auth=auth)
