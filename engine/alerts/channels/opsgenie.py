"""Opsgenie."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.channel import OptionalNumber, Text
from peekaping.engine.alerts.message import Event, Message, Severity
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, service_rule, token_rule
from peekaping.engine.fields import Rule, between

_PRIORITIES = {Severity.CRITICAL: 1, Severity.WARNING: 3, Severity.INFO: 5}


class Opsgenie(Worded, frozen=True, kw_only=True, tag="opsgenie"):
    """One integration. A recovery closes what the failure opened; in the EU `url` is another."""

    url: Url = "https://api.opsgenie.com"
    api_key: Text
    priority: OptionalNumber = None

    groups: ClassVar[bool] = False
    secrets: ClassVar[frozenset[str]] = frozenset({"apiKey"})
    rules: ClassVar[dict[str, Rule]] = {
        **Worded.rules,
        "url": service_rule,
        "api_key": token_rule,
        "priority": between(1, 5),
    }

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        headers = {"Authorization": f"GenieKey {self.api_key}"}
        if message.event is Event.UP:
            close = below(self.url, "v2", "alerts", message.subject, "close")
            note = {"source": "Peekaping", "note": self.words(message)[1]}
            return await web.request("POST", f"{close}?identifierType=alias", json=note, headers=headers)
        title, text = self.words(message, most_title=130)
        body = {
            "message": title,
            "alias": message.subject,
            "description": text,
            "priority": f"P{self.priority or _PRIORITIES[message.severity]}",
            "source": "Peekaping",
        }
        return await web.request("POST", below(self.url, "v2", "alerts"), json=body, headers=headers)
