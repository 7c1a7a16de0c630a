"""E-mail: the fields, and what a mail says. `smtp.py` sends it."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from hashlib import sha256
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from peekaping.engine.alerts.channel import Channel, OptionalText
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.smtp import Server, Session
from peekaping.engine.alerts.templates import template_rule, worded
from peekaping.engine.alerts.web import Web
from peekaping.engine.fields import Errors, Rule, text_up_to
from peekaping.engine.probes.shared import Host, WholeNumber, ascii_host, host_rule, port_rule
from peekaping.engine.records import iso

_ADDRESS = re.compile(r"[^\s@<>\",;:\\()\[\]]{1,64}@[^\s@<>\",;:\\()\[\]]{1,255}")
Addresses = Annotated[tuple[str, ...], Meta(description="a list of e-mail addresses")]


LONGEST_ADDRESS = 400
"""254 of the address (RFC 5321, 4.5.3.1), and a name beside it."""


def address_rule(text: str) -> str | None:
    if len(text) > LONGEST_ADDRESS:
        return f"must be an e-mail address of at most {LONGEST_ADDRESS} characters"
    fine = text.isprintable() and _ADDRESS.fullmatch(parseaddr(text)[1])
    return None if fine else f"must be an e-mail address, {text!r} is none"


def addresses_rule(addresses: tuple[str, ...]) -> str | None:
    if len(addresses) > 100:
        return "must be at most 100 addresses"
    return next((problem for address in addresses if (problem := address_rule(address))), None)


def to_rule(addresses: tuple[str, ...]) -> str | None:
    return addresses_rule(addresses) if addresses else "must name at least one address"


class Email(Channel, frozen=True, kw_only=True, tag="email"):
    """One mail for each message, to all addresses at once."""

    host: Host
    port: WholeNumber = 587
    username: OptionalText = None
    password: OptionalText = None
    from_: Annotated[str, Meta(description="an e-mail address")] = msgspec.field(name="from")
    to: Addresses
    cc: Addresses = ()
    bcc: Addresses = ()
    encryption: Annotated[Literal["TLS", "NONE"], Meta(description="TLS or NONE")] = "TLS"
    subject: OptionalText = None
    body: OptionalText = None

    secrets: ClassVar[frozenset[str]] = frozenset({"password"})
    rules: ClassVar[dict[str, Rule]] = {
        "host": host_rule,
        "port": port_rule,
        "username": text_up_to(500),
        "password": text_up_to(500),
        "from_": address_rule,
        "to": to_rule,
        "cc": addresses_rule,
        "bcc": addresses_rule,
        "subject": template_rule,
        "body": template_rule,
    }

    def check_together(self) -> Errors:
        """See `Record.check_together`."""
        if (self.username is None) != (self.password is None):
            missing = "username" if self.username is None else "password"
            return {missing: [f"{missing.capitalize()} is required: there is no login with half of one"]}
        return {}

    def slot(self, web: Web) -> AbstractAsyncContextManager[None]:
        """See `Channel.slot`."""
        return web.thread_slots

    async def send(self, message: Message, web: Web) -> str:
        """See `Channel.send`."""
        host = ascii_host(self.host)
        server = Server(host.rstrip("."), self.port, self.encryption == "TLS", self.username, self.password)
        session = Session(server, await web.addresses(host), web.context())
        made, sender = mail(self, message), parseaddr(self.from_)[1]
        recipients = [parseaddr(address)[1] for address in (*self.to, *self.cc, *self.bcc)]
        return await web.in_thread(lambda: session.send(made, sender, recipients), session.stop)


def mail(channel: Email, message: Message) -> EmailMessage:
    """The mail, the same in every try. `bcc` is in none of its headers."""
    made = EmailMessage()
    made["From"] = channel.from_
    made["To"] = ", ".join(channel.to)
    if channel.cc:
        made["Cc"] = ", ".join(channel.cc)
    made["Subject"] = " ".join(worded(channel.subject, message, message.title).split())
    made["Date"] = format_datetime(datetime.fromtimestamp(message.at // 1000, UTC))
    domain = parseaddr(channel.from_)[1].rpartition("@")[2]
    made["Message-ID"] = f"<{sha256(message.key.encode()).hexdigest()[:32]}@{domain}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers
    made.set_content(worded(channel.body, message, plain_body(message)))
    return made


def plain_body(message: Message) -> str:
    """What a mail says when there is no template."""
    lines = [message.text or message.title, ""]
    if message.monitor is not None:
        lines.append(f"Monitor: {message.monitor.name}")
        lines += [f"Address: {message.monitor.url}"] if message.monitor.url is not None else []
    return "\n".join([*lines, f"Time: {iso(message.at)}"])
