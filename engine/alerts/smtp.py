"""One mail over SMTP: smtplib, in a thread, on a connection to an address that the egress guard has allowed."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from email.message import EmailMessage
from typing import NamedTuple

from peekaping.engine.alerts.channel import SEND_WITHIN_S, NotDelivered
from peekaping.engine.net.tls import refused

IMPLICIT_TLS_PORT = 465  # RFC 8314, 7.3


class Server(NamedTuple):
    """Where mail goes and who sends it. With `tls` the port says how it begins; there is no falling back to none."""

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None


class Session:
    """Sends one mail. `send` blocks; `stop`, from another thread, makes it end at once."""

    def __init__(self, server: Server, addresses: Sequence[str], context: ssl.SSLContext) -> None:
        self._server = server
        self._addresses = addresses
        self._context = context
        self._sockets: list[socket.socket] = []
        """All that are to be closed."""
        self._line: socket.socket | None = None
        self._is_stopped = False

    def send(self, mail: EmailMessage, sender: str, recipients: Sequence[str]) -> str:
        """Send it to all of them; gives the server's last word, and who was refused.

        Raises:
          NotDelivered: when it was taken for nobody.
        """
        smtp = None
        try:
            smtp = _Smtp(self, self._server.host, self._server.port)
            if self._server.tls and self._server.port != IMPLICIT_TLS_PORT:
                smtp.starttls(context=self._context)
                if smtp.sock is not None:
                    self._sockets.append(smtp.sock)
            if self._server.username is not None and self._server.password is not None:
                smtp.login(self._server.username, self._server.password)
            refusals = smtp.send_message(mail, sender, recipients)
            with suppress(smtplib.SMTPException, OSError):  # the mail is taken: what comes after must not send it again
                smtp.quit()
            return f"{smtp.answer}{_refused_ones(refusals)}"
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise not_delivered(error, self._server.host) from error
        finally:
            if smtp is not None:
                smtp.close()  # its file, without which a closed socket is not
            for sock in self._sockets:
                sock.close()

    def connect(self) -> socket.socket:
        """A connection to the first address that takes one, in TLS on the port for that."""
        failure: OSError | None = None
        for address in self._addresses:
            sock = self._open(address)
            try:
                if self._is_stopped:
                    raise OSError("stopped")
                sock.settimeout(SEND_WITHIN_S / len(self._addresses))
                sock.connect((address, self._server.port))
                sock.settimeout(SEND_WITHIN_S)
            except OSError as error:
                failure = error
                continue
            if self._server.tls and self._server.port == IMPLICIT_TLS_PORT:
                sock = self._context.wrap_socket(sock, server_hostname=self._server.host)
                self._sockets.append(sock)
            return sock
        assert failure is not None, "there is at least one address"
        raise failure

    def stop(self) -> None:
        """Break the connection: whoever waits for it gets an error."""
        self._is_stopped = True
        if self._line is not None:
            with suppress(OSError):  # closed already, or not yet connected
                self._line.shutdown(socket.SHUT_RDWR)

    def _open(self, address: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        # A second handle of the same connection: TLS takes the first one away.
        self._line = sock.dup()
        self._sockets += (sock, self._line)
        return sock


class _Smtp(smtplib.SMTP):
    """smtplib with the connection made by us, and with the answer to the mail kept."""

    answer = ""

    def __init__(self, session: Session, host: str, port: int) -> None:
        self._session = session
        # Given, since smtplib would ask DNS for this host's name, in a way that nothing can stop.
        super().__init__(host, port, local_hostname="localhost", timeout=SEND_WITHIN_S)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = self._session.connect()
        address = sock.getsockname()[0]
        self.local_hostname = f"[IPv6:{address}]" if ":" in address else f"[{address}]"  # RFC 5321, 4.1.3
        return sock

    def data(self, msg: object) -> tuple[int, bytes]:
        code, text = super().data(msg)  # type: ignore[arg-type]
        self.answer = _said(code, text)
        return code, text


def not_delivered(error: Exception, host: str) -> NotDelivered:
    """What an error of smtplib means. A code of 4xx is for the moment, one of 5xx for good (RFC 5321, 4.2.1)."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            answers = list(error.recipients.values())
            text = f"The mail server refused all recipients: {_said(*answers[0])}"
            return NotDelivered(text, retry=any(400 <= code < 500 for code, _ in answers))
        case smtplib.SMTPAuthenticationError():
            text = f"The mail server refused the login: {_said(error.smtp_code, error.smtp_error)}"
            return NotDelivered(text, retry=error.smtp_code < 500)
        case smtplib.SMTPResponseException():
            text = f"The mail server answered {_said(error.smtp_code, error.smtp_error)}"
            return NotDelivered(text, retry=error.smtp_code < 500)
        case smtplib.SMTPNotSupportedError():
            return NotDelivered(f"The mail server lacks what is asked for: {error}", retry=False)
        case ssl.SSLCertVerificationError():
            return NotDelivered(refused(error, host).message, retry=True)
        case ValueError():
            return NotDelivered(f"The mail cannot be sent: {error}", retry=False)
        case _:
            return NotDelivered(f"The connection to the mail server failed: {error}", retry=True)


def _refused_ones(refusals: dict[str, tuple[int, bytes]]) -> str:
    # Not tried again: that would send it once more to those who have it.
    return "".join(f"; refused for {address}: {_said(*answer)}" for address, answer in refusals.items())


def _said(code: int, text: bytes | str) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {words}"
