"""What a channel is: where messages go, and what comes of sending one.

A kind (`channels/*.py`) is its fields, their rules, and `send`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import quote

import httpx
import msgspec
import trio
from msgspec import Meta

from peekaping.engine.alerts.message import Event, Message
from peekaping.engine.errors import EngineError
from peekaping.engine.fields import Record
from peekaping.engine.probes import http_rules
from peekaping.engine.secrets import MASK, masked

if TYPE_CHECKING:
    from peekaping.engine.alerts.web import Web

Text = Annotated[str, Meta(description="a text")]
OptionalText = Annotated[str | None, Meta(description="a text")]
Flag = Annotated[bool, Meta(description="true or false")]
OptionalNumber = Annotated[int | None, Meta(description="a whole number")]

SEND_WITHIN_S = 30.0
"""For one try: a service that takes longer is tried again later."""
SHOWN = 500
"""Characters of what a service answered."""

ABOUT_STATE = frozenset({Event.DOWN, Event.UP, Event.REMINDER, Event.CERTIFICATE})


def url_rule(text: str) -> str | None:
    """A rule for addresses of HTTP."""
    try:
        if httpx.URL(text).userinfo:
            return "must hold neither user nor password"
    except (httpx.InvalidURL, ValueError):
        pass  # the other rule says why
    return http_rules.url_rule(text)


class NotDelivered(EngineError):
    """A service did not take a message. `text` is for people, and holds no secret once `deliver` raises it; `retry` says whether
    trying again may help, and `after_s` for how long the service wants to be left alone, where it said so."""

    def __init__(self, text: str, *, retry: bool, after_s: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.retry = retry
        self.after_s = after_s


class Channel(Record, frozen=True, kw_only=True, gc=False, rename="camel"):
    """The configuration of one channel of some kind."""

    groups: ClassVar[bool] = True
    """Whether a burst of messages may be told in one. Not where each is an incident of its own, or read by a program."""

    def wants(self, event: Event) -> bool:
        """Whether messages of this event are for this channel; a test always is."""
        return event in ABOUT_STATE or event is Event.TEST

    def slot(self, web: Web) -> AbstractAsyncContextManager[None]:
        """What must be free before a message can be sent, such as a process. The wait for it is no part of sending, so it is to
        be held around `deliver`."""
        return nullcontext()

    async def send(self, message: Message, web: Web) -> str:
        """Send it, and give what the service said: all of it, as it came. `deliver` makes it fit to be shown.

        Raises:
          NotDelivered: when the service did not take it, or it is not known whether it did.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # what is written to logs must hold no secret


async def deliver(channel: Channel, message: Message, web: Web) -> str:
    """Send one message once, within `SEND_WITHIN_S`; gives what the service said, in a line without our secrets. The caller holds
    the channel's slot. May be cancelled.

    Raises:
      NotDelivered: and nothing else: also a fault in a kind must not stop who sends for others.
    """
    with trio.move_on_after(SEND_WITHIN_S):
        try:
            return _shown(channel, await channel.send(message, web))
        except NotDelivered as error:
            error.text = _shown(channel, error.text)
            error.args = (error.text,)
            raise
        except Exception as error:
            # Only its kind: the text of an error that nobody expected may hold anything, a secret too.
            raise NotDelivered(f"Peekaping failed to send: {type(error).__name__}", retry=True) from error
    raise NotDelivered(f"The service did not answer within {SEND_WITHIN_S:g} seconds", retry=True)


def _shown(channel: Channel, text: str) -> str:
    """The text in one line, not too long, with `MASK` for each of the channel's secrets: services repeat in their answers what
    they were sent. Masked first: half a secret, or one whose spaces are gone, would not be found."""
    fields = msgspec.to_builtins(channel)
    for secret in sorted(_hidden(fields, masked(fields, channel.secrets)), key=len, reverse=True):
        for written in _written(secret):
            text = text.replace(written, MASK)
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[:SHOWN] + "…"


def _written(secret: str) -> Iterator[str]:
    """A secret as services repeat it: as it is, in an address, in JSON of either kind, with slashes as PHP writes them or not."""
    yield secret
    yield quote(secret, safe="")
    for escaped in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield escaped
        yield escaped.replace("/", r"\/")


def _hidden(whole: Any, shown: Any) -> Iterator[str]:
    """The texts that masking hides; of an address its parts too, which is where services have their tokens."""
    if isinstance(whole, dict) and isinstance(shown, dict):
        for name, value in whole.items():
            yield from _hidden(value, shown.get(name))
    elif isinstance(whole, str) and whole != shown and len(whole) > 3:
        yield whole
        if "://" in whole:
            scheme, _, rest = whole.partition("://")
            if scheme in ("http", "https"):
                rest = rest.partition("/")[2]  # the host is no secret, and says where a failure is
            yield from (part for part in re.split(r"[/:?&=@,]", rest) if len(part) > 7)
