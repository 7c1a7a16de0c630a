"""WeCom, by a group robot."""

from __future__ import annotations

import httpx

from peekaping.engine.alerts.channel import NotDelivered
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.web import Web, said
from peekaping.engine.alerts.worded import IncomingWebhook


class Wecom(IncomingWebhook, frozen=True, kw_only=True, tag="wecom"):
    """One group."""

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        content = self.all_words(message, most=1300)  # 4096 bytes, of which a character takes up to 3
        body = {"msgtype": "markdown", "markdown": {"content": content}}
        return await web.request("POST", self.url, json=body, refused=_refused)


def _refused(response: httpx.Response) -> NotDelivered | None:
    """It says what is wrong under a 200. -1 is a busy system, 45009 too many messages in a minute."""
    try:
        code = response.json().get("errcode", 0)
    except (ValueError, AttributeError):
        return NotDelivered(f"The service answered what is not its way: {said(response)}", retry=True)
    return None if code == 0 else NotDelivered(f"The service answered {said(response)}", retry=code in (-1, 45009))
