"""What channels for people share: a title and a text, in the users' words or ours, and the fields that most services need."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeVar
from urllib.parse import quote

from msgspec import Meta

from peekaping.engine.alerts.channel import Channel, OptionalText, url_rule
from peekaping.engine.alerts.message import Event, Message, Severity
from peekaping.engine.alerts.templates import icon, template_rule, worded
from peekaping.engine.fields import Rule

Url = Annotated[str, Meta(description="a URL")]
T = TypeVar("T")
Texts = Annotated[tuple[str, ...], Meta(description="a list of texts")]


class Worded(Channel, frozen=True, kw_only=True):
    """A channel for people. `title` and `body` are templates."""

    title: OptionalText = None
    body: OptionalText = None

    rules: ClassVar[dict[str, Rule]] = {"title": template_rule, "body": template_rule}

    def words(self, message: Message, *, most_title: int = 200, most_text: int = 4000) -> tuple[str, str]:
        """The title, in one line, and the text, no longer than these."""
        title = worded(self.title, message, f"{icon(message)} {message.title}")
        return clipped(" ".join(title.split()), most_title), clipped(
            worded(self.body, message, told(message)), most_text
        )

    def all_words(self, message: Message, *, most: int = 4000) -> str:
        """Title and text in one, for services that know no title."""
        title, text = self.words(message)
        return clipped(f"{title}\n{text}", most)


class IncomingWebhook(Worded, frozen=True, kw_only=True):
    """A channel whose service gives out an address to post to. Whoever knows it may post, so it is a secret."""

    url: Url

    secrets: ClassVar[frozenset[str]] = frozenset({"url"})
    rules: ClassVar[dict[str, Rule]] = {**Worded.rules, "url": url_rule}


def told(message: Message) -> str:
    """What is told when there is no template."""
    address = message.monitor.url if message.monitor is not None else None
    return "\n".join(part for part in (message.text, address) if part) or message.title


def clipped(text: str, most: int) -> str:
    """No longer than a service takes: what is too long is refused whole."""
    return text if len(text) <= most else text[: most - 1] + "…"


def color(message: Message) -> str:
    """As six hexadecimal digits."""
    if message.event is Event.UP:
        return "2eb67d"
    return {Severity.CRITICAL: "e01e5a", Severity.WARNING: "ecb22e", Severity.INFO: "3f83f8"}[message.severity]


def named(**values: T | None) -> dict[str, T]:
    """Those that are given."""
    return {name: value for name, value in values.items() if value is not None}


def below(base: str, *path: str) -> str:
    """An address below another."""
    return "/".join([base.rstrip("/"), *(quote(part, safe="") for part in path)])


def service_rule(text: str) -> str | None:
    """A rule for the address of a service, to which paths are added."""
    return "must have neither ? nor #" if "?" in text or "#" in text else url_rule(text)


def token_rule(text: str) -> str | None:
    """A rule for what is sent in a header or in an address."""
    fine = 0 < len(text) <= 1000 and text.isascii() and text.isprintable() and " " not in text
    return None if fine else "must be printable ASCII without spaces, at most 1000 characters"
