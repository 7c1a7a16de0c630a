"""The long tail: whatever service Apprise has a URL for."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from peekaping.engine.alerts.channel import NotDelivered, Text
from peekaping.engine.alerts.message import Event, Message, Severity
from peekaping.engine.alerts.web import Web
from peekaping.engine.alerts.worded import Worded
from peekaping.engine.fields import Rule

CHILD = "peekaping.engine.alerts.apprise_child"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9]{1,20}://[^\s\x00-\x1f]{1,2000}")


def _url_rule(text: str) -> str | None:
    return None if _URL.fullmatch(text) else "must be a URL as Apprise has them, such as mailtos://… or rocket://…"


class Apprise(Worded, frozen=True, kw_only=True, tag="apprise"):
    """Any URL of https://appriseit.com/services/. Its secrets are in it, so it is one."""

    url: Text

    secrets: ClassVar[frozenset[str]] = frozenset({"url"})
    rules: ClassVar[dict[str, Rule]] = {**Worded.rules, "url": _url_rule}

    def slot(self, web: Web) -> AbstractAsyncContextManager[None]:
        """See `Channel.slot`."""
        return web.process_slots

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        title, text = self.words(message)
        asked = {"url": self.url, "title": title, "body": text, "type": _type(message), "deny": web.deny}
        answer = await web.ask_process(CHILD, asked)
        if not answer["delivered"]:
            raise NotDelivered(answer["text"], retry=answer["retry"])
        return str(answer["text"])


def _type(message: Message) -> str:
    if message.event is Event.UP:
        return "success"
    return {Severity.CRITICAL: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}[message.severity]
