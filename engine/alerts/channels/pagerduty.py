"""PagerDuty, by its Events API v2."""

from __future__ import annotations

from typing import Any, ClassVar

from peekaping.engine.alerts.channel import Text
from peekaping.engine.alerts.message import Event, Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Url, Worded, below, service_rule, token_rule
from peekaping.engine.fields import Rule
from peekaping.engine.records import iso


class Pagerduty(Worded, frozen=True, kw_only=True, tag="pagerduty"):
    """One service's integration. A recovery resolves what the failure triggered."""

    url: Url = "https://events.pagerduty.com"
    integration_key: Text

    groups: ClassVar[bool] = False
    secrets: ClassVar[frozenset[str]] = frozenset({"integrationKey"})
    rules: ClassVar[dict[str, Rule]] = {**Worded.rules, "url": service_rule, "integration_key": token_rule}

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message, most_title=1024)
        body: dict[str, Any] = {
            "routing_key": self.integration_key,
            "event_action": "resolve" if message.event is Event.UP else "trigger",
            "dedup_key": message.subject,
            "payload": {
                "summary": title,
                "source": message.monitor.name if message.monitor is not None else "Peekaping",
                "severity": message.severity,
                "timestamp": iso(message.at),
                "custom_details": {"text": text},
            },
        }
        return await web.request("POST", below(self.url, "v2", "enqueue"), json=body)
