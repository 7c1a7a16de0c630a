"""E-mail against a real SMTP server, in a thread."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
import trio
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from peekaping.engine.alerts.channel import NotDelivered, deliver
from peekaping.engine.alerts.channels import parse_channel
from peekaping.engine.alerts.message import Message
from peekaping.engine.alerts.smtp import not_delivered
from peekaping.engine.alerts.web import Web
from peekaping.engine.errors import Invalid
from peekaping.engine.net.tls import DEFAULT_TLS, Tls

from ..targets import free_port, server_context, serving, silence
from .service import LOOPBACK_ALLOWED, down

SENDER = {"from": "Peekaping <alerts@example.com>", "to": ["ops@example.com"]}
PLAIN = {"encryption": "NONE"}
LOGIN = {"username": "alerts@example.com", "password": "app-password"}


class Mailbox:
    """Keeps what arrives; refuses whoever is in `refusals`."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.in_tls: list[bool] = []
        self.users: list[str | None] = []
        self.refusals: dict[str, str] = {}

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        self.in_tls.append(session.ssl is not None)
        self.users.append(session.auth_data.login.decode() if session.auth_data is not None else None)
        return "250 2.0.0 queued as 4711"


class HangsUp(Mailbox):
    """Goes without a goodbye."""

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert server.transport is not None
        server.transport.close()
        return "221 bye"


class ImplicitTls(Controller):
    """A server that speaks TLS from the start; the usual check whether it listens would not trust its certificate."""

    def _trigger_server(self) -> None:
        socket.create_connection((self.hostname, self.port)).close()


@contextmanager
def mail_server(mailbox: Mailbox, *, implicit: ssl.SSLContext | None = None, **options: Any) -> Iterator[int]:
    """A server on a free port; gives the port."""

    def login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        fine = (given.login.decode(), given.password.decode()) == (LOGIN["username"], LOGIN["password"])
        return AuthResult(success=fine, handled=False, auth_data=given)

    port = free_port()
    kind = Controller if implicit is None else ImplicitTls
    controller = kind(mailbox, "127.0.0.1", port, authenticator=login, ssl_context=implicit, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


async def send(
    port: int, config: dict[str, Any] | None = None, *, tls: Tls = DEFAULT_TLS, message: Message | None = None
) -> str:
    channel = parse_channel("email", {**SENDER, "host": "localhost", "port": port, **(config or {})})
    async with Web(LOOPBACK_ALLOWED, tls) as web:
        return await deliver(channel, message or down(), web)


async def test_a_mail_arrives_whole() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        for _ in range(2):
            assert await send(port, PLAIN) == "250 2.0.0 queued as 4711"
    mail, again = mailbox.mails
    assert mail["From"] == "Peekaping <alerts@example.com>"
    assert mail["To"] == "ops@example.com"
    assert mail["Subject"] == "Website Monitor is down"
    assert mail["Date"] == "Sat, 20 Jan 2024 10:30:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["MIME-Version"] == "1.0"
    assert mail.get_content().splitlines() == [
        "Connection timeout",
        "",
        "Monitor: Website Monitor",
        "Address: https://example.com",
        "Time: 2024-01-20T10:30:00.000Z",
    ]
    assert mail["Message-ID"].endswith("@example.com>")
    assert mail["Message-ID"] == again["Message-ID"]  # so that a mail that is sent twice can be known as one


async def test_a_mail_that_was_taken_is_delivered_whatever_comes_after() -> None:
    mailbox = HangsUp()
    with mail_server(mailbox) as port:
        assert await send(port, PLAIN) == "250 2.0.0 queued as 4711"
    assert len(mailbox.mails) == 1


async def test_another_message_has_another_id() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        for key in ("delivery-1", "delivery-2"):
            await send(port, PLAIN, message=down(key=key))
    first, second = mailbox.mails
    assert first["Message-ID"] != second["Message-ID"]


async def test_everybody_gets_it_and_nobody_sees_bcc() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        people = {"to": ["a@x.example", "B <b@x.example>"], "cc": ["c@x.example"], "bcc": ["d@x.example"]}
        await send(port, {**PLAIN, **people})
    assert mailbox.recipients == [["a@x.example", "b@x.example", "c@x.example", "d@x.example"]]
    (mail,) = mailbox.mails
    assert mail["Cc"] == "c@x.example"
    assert "d@x.example" not in mail.as_string()


async def test_templates_in_any_script_that_add_no_header() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        words = {"subject": "{{ status }} {{ name }}", "body": "{{ status_icon }} {{ msg }}\n.\nunten"}
        message = down(name="Überwachung\r\nBcc: eve@x.example")
        await send(port, {**PLAIN, **words}, message=message)
    (mail,) = mailbox.mails
    assert mail["Subject"] == "DOWN Überwachung Bcc: eve@x.example"
    assert mail["Bcc"] is None
    assert mail.get_content().splitlines() == ["🔴 Connection timeout", ".", "unten"]


async def test_tls_is_demanded_before_the_login() -> None:
    authority = trustme.CA()
    context = server_context(authority.issue_cert("localhost"))
    mailbox = Mailbox()
    with mail_server(mailbox, tls_context=context, require_starttls=True, auth_required=True) as port:
        await send(port, LOGIN, tls=Tls(ca=authority.cert_pem.bytes().decode()))
    assert mailbox.in_tls == [True]
    assert mailbox.users == [LOGIN["username"]]


async def test_tls_from_the_start_on_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    mailbox = Mailbox()
    context = server_context(authority.issue_cert("localhost"))
    with mail_server(mailbox, implicit=context, auth_require_tls=False) as port:
        monkeypatch.setattr("peekaping.engine.alerts.smtp.IMPLICIT_TLS_PORT", port)
        await send(port, LOGIN, tls=Tls(ca=authority.cert_pem.bytes().decode()))
    assert mailbox.users == [LOGIN["username"]]


async def test_a_server_without_tls_gets_neither_mail_nor_login() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox, auth_require_tls=False) as port:
        with pytest.raises(NotDelivered, match="STARTTLS") as failure:
            await send(port, LOGIN)
    assert not failure.value.retry
    assert mailbox.mails == []


async def test_a_certificate_that_is_not_trusted_stops_it() -> None:
    mailbox = Mailbox()
    context = server_context(trustme.CA().issue_cert("localhost"))
    with mail_server(mailbox, tls_context=context) as port:
        with pytest.raises(NotDelivered, match="certificate of localhost") as failure:
            await send(port, tls=Tls(ca=trustme.CA().cert_pem.bytes().decode()))
    assert failure.value.retry
    assert mailbox.mails == []


async def test_a_wrong_password_is_final_and_not_repeated() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox, auth_require_tls=False) as port:
        with pytest.raises(NotDelivered, match="refused the login: 535") as failure:
            await send(port, {**PLAIN, **LOGIN, "password": "wr0ng-password"})
    assert not failure.value.retry
    assert "wr0ng" not in failure.value.text


async def test_who_is_refused_is_told_and_the_others_get_it_once() -> None:
    mailbox = Mailbox()
    mailbox.refusals = {"gone@x.example": "550 no such user"}
    with mail_server(mailbox) as port:
        said = await send(port, {**PLAIN, "to": ["gone@x.example", "ops@example.com"]})
    assert said == "250 2.0.0 queued as 4711; refused for gone@x.example: 550 no such user"
    assert mailbox.recipients == [["ops@example.com"]]


async def test_what_a_server_repeats_of_the_password_is_not_shown_by_halves() -> None:
    mailbox = Mailbox()
    mailbox.refusals = {"ops@example.com": "550 " + " ".join([LOGIN["password"]] * 60)}
    with mail_server(mailbox, auth_require_tls=False) as port:
        with pytest.raises(NotDelivered, match=r"recipients: 550 \*{8} \*") as failure:
            await send(port, {**PLAIN, **LOGIN})
    assert "app" not in failure.value.text


@pytest.mark.parametrize(("answer", "retry"), [("550 no such user", False), ("450 come again", True)])
async def test_a_mail_that_nobody_gets_is_not_delivered(answer: str, retry: bool) -> None:
    mailbox = Mailbox()
    mailbox.refusals = {"ops@example.com": answer}
    with mail_server(mailbox) as port:
        with pytest.raises(NotDelivered, match=answer) as failure:
            await send(port, PLAIN)
    assert failure.value.retry is retry


async def test_a_server_that_is_gone_is_tried_again() -> None:
    with pytest.raises(NotDelivered, match="Connection refused") as failure:
        await send(free_port())
    assert failure.value.retry


async def test_a_denied_address_is_not_reached() -> None:
    async with Web(["127.0.0.0/8", "::1/128"]) as web:
        channel = parse_channel("email", {**SENDER, "host": "localhost", "encryption": "NONE"})
        with pytest.raises(NotDelivered, match="is denied") as failure:
            await deliver(channel, down(), web)
    assert not failure.value.retry


async def test_a_silent_server_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the sender nor, after it, the thread: its connection is broken."""
    monkeypatch.setattr("peekaping.engine.alerts.channel.SEND_WITHIN_S", 0.1)
    left = trio.Event()

    async def wait_for_the_end(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        left.set()

    async with serving(wait_for_the_end) as port:
        with pytest.raises(NotDelivered, match="did not answer") as failure:
            await send(port, PLAIN)
        with trio.fail_after(5):
            await left.wait()
    assert failure.value.retry


async def test_sending_can_be_cancelled() -> None:
    async with serving(silence) as port:
        with trio.move_on_after(0.05) as scope:
            await send(port)
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (smtplib.SMTPDataError(452, b"mailbox full"), True),
        (smtplib.SMTPDataError(554, b"spam"), False),
        (smtplib.SMTPAuthenticationError(454, b"not now"), True),
        (smtplib.SMTPServerDisconnected("gone"), True),
        (TimeoutError("timed out"), True),
        (smtplib.SMTPNotSupportedError("no AUTH"), False),
    ],
)
def test_what_is_tried_again(error: Exception, retry: bool) -> None:
    assert not_delivered(error, "mail").retry is retry


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"to": []}, {"config.to": ["To must name at least one address"]}),
        ({"to": ["no address"]}, {"config.to": ["To must be an e-mail address, 'no address' is none"]}),
        ({"from": "a@b\r\nBcc: c@d"}, {"config.from": ["From must be an e-mail address, 'a@b\\r\\nBcc: c@d' is none"]}),
        ({"encryption": "SSL"}, {"config.encryption": ["Encryption must be TLS or NONE"]}),
        ({"port": 0}, {"config.port": ["Port must be between 1 and 65535"]}),
        (
            {"subject": "{{ name"},
            {"config.subject": ["Subject is no Liquid template: expected '}}', found end of file"]},
        ),
        ({"username": "me"}, {"config.password": ["Password is required: there is no login with half of one"]}),
    ],
)
def test_a_wrong_configuration_is_explained(fields: dict[str, Any], wrong: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid) as refused:
        parse_channel("email", {**SENDER, "host": "mail.example.com", **fields})
    assert refused.value.errors == wrong
