"""Microsoft Teams, by a webhook of its Workflows."""

from __future__ import annotations

from peekaping.engine.alerts.message import Message, Severity
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import IncomingWebhook


class Teams(IncomingWebhook, frozen=True, kw_only=True, tag="teams"):
    """One channel or chat."""

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message)
        style = {Severity.CRITICAL: "attention", Severity.WARNING: "warning", Severity.INFO: "good"}[message.severity]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [
                {
                    "type": "TextBlock",
                    "text": title,
                    "weight": "bolder",
                    "size": "medium",
                    "color": style,
                    "wrap": True,
                },
                # In Teams a single line end is none.
                {"type": "TextBlock", "text": text.replace("\n", "\n\n"), "wrap": True},
            ],
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        return await web.request("POST", self.url, json={"type": "message", "attachments": [attachment]})
