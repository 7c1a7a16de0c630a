"""Grafana OnCall, by a formatted webhook integration."""

from __future__ import annotations

from typing import ClassVar

from peekaping.engine.alerts.message import Event, Message
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import IncomingWebhook


class GrafanaOncall(IncomingWebhook, frozen=True, kw_only=True, tag="grafana_oncall"):
    """One integration. A recovery resolves what the failure opened."""

    groups: ClassVar[bool] = False

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message)
        body = {
            "alert_uid": message.subject,
            "title": title,
            "message": text,
            "state": "ok" if message.event is Event.UP else "alerting",
        }
        return await web.request("POST", self.url, json=body)
