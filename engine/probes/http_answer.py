"""One answer as it is parsed: from HTTP/1.1 here, from HTTP/2's frames by `http2.py`.

What counts as an answer is RFC 9112's business and llhttp's (through httptools); what is decided here is when an answer is whole:
by its length, by its last chunk, or, when it has neither, by the connection's end. Cut short, it is a failure.
"""

from __future__ import annotations

from typing import NamedTuple

import httptools

from peekaping.engine.net.failure import Failed
from peekaping.engine.probes.http_request import REDIRECTS
from peekaping.engine.records import Status


class Wanted(NamedTuple):
    """What of an answer is asked for: what nobody asks for is not kept."""

    max_body: int
    """Bytes of body after which reading ends."""
    headers: frozenset[bytes] = frozenset()
    """Names in lower case."""
    body: bool = False
    certificate: bool = False
    ip_version: int | None = None
    follows: bool = False
    """Whether a redirect leads on to another answer."""


class Answer:
    """An answer as it is parsed. httptools calls the `on_` methods, of which `http2.py` uses some."""

    __slots__ = (
        "_bodiless", "_follows", "_framed", "_most_body", "_names", "_parser", "body", "body_size", "certificate", "headers",
        "is_reusable", "is_whole", "location", "status_code",
    )  # fmt: skip

    def __init__(self, method: str, wanted: Wanted) -> None:
        # The two hold each other, a cycle that `release` breaks: thousands a second are not left to the collector.
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # What browsers and curl read is no outage: header lines folded over two and lines that end without CR (RFC 9112, 5.2
        # and 2.2), a length beside chunks (6.3), spaces after a chunk's size, an answer behind a 100 that says it closes the
        # connection. Dangerous it is to proxies, which pass it on.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_chunked_length=True,
            lenient_keep_alive=True,
            lenient_transfer_encoding=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._names = wanted.headers
        self._most_body = wanted.max_body if wanted.body else 0
        self._follows = wanted.follows
        self._bodiless = method == "HEAD"
        self._framed = False
        self.status_code = 0
        """0 until the header of the final answer is complete."""
        self.location: str | None = None
        self.headers: dict[bytes, str] = {}
        """Those wanted, names in lower case; one that came several times is joined (RFC 9110, 5.3)."""
        self.body = bytearray()
        """What was wanted of the body: at most `max_body` bytes, not decoded."""
        self.body_size = 0
        self.certificate: bytes | None = None
        self.is_whole = False
        self.is_reusable = False
        """Whether another request may follow on the same connection."""

    @property
    def leads_to(self) -> str | None:
        """Where a redirect leads that is followed. Nobody needs its body, and browsers do not wait for it either."""
        return self.location if self._follows and self.status_code in REDIRECTS else None

    def feed(self, data: bytes) -> None:
        """Parse what arrived."""
        assert self._parser is not None, "fed after release"
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.is_whole, self.is_reusable = True, False  # 101: what follows is no HTTP
        except httptools.HttpParserCallbackError as error:  # a method below failed: no memory, or a bug of ours
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            if not (self.is_whole or self.leads_to):  # what comes after is nobody's business
                raise Failed(Status.DOWN, "bad_answer", f"The answer is not valid HTTP: {error}") from error

    def end(self) -> None:
        """The connection has ended: fine for an answer without a length, too early for any other."""
        if self.is_whole:
            return
        if not self.status_code:
            raise Failed(Status.DOWN, "empty_answer", "The target closed the connection without an answer")
        if self._framed:
            raise Failed(
                Status.DOWN,
                "body_cut_short",
                f"The answer was cut short: the connection ended after {self.body_size} bytes",
            )
        self.is_whole = True

    def release(self) -> None:
        """Let go of the parser; nothing can be fed any more."""
        self._parser = None

    def on_message_begin(self) -> None:
        """Something follows a whole answer: whatever it is, the next answer would not be ours."""
        if self.is_whole:
            self.is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the few headers that matter."""
        if self.status_code:
            return  # a trailer
        lowered = name.lower()
        if lowered == b"location":
            self.location = _text(value.strip(b" \t")) or None  # to browsers an empty one is none
        elif lowered == b"content-length":
            self._framed = True
        elif lowered == b"transfer-encoding":
            # Any other coding than chunked, last, lasts to the connection's end (RFC 9112, 6.3).
            self._framed = value.rpartition(b",")[2].strip().lower() == b"chunked"
        if self._names and lowered in self._names:
            text = value.decode("latin-1").strip()
            self.headers[lowered] = f"{self.headers[lowered]}, {text}" if lowered in self.headers else text

    def on_headers_complete(self) -> None:
        """Tell interim answers (RFC 9110, 15.2) from the final one."""
        assert self._parser is not None
        if self.is_whole:
            return
        code = self._parser.get_status_code()
        if code >= 200 or code == 101:
            self.status_code = code
            self.is_whole = self._bodiless
            self.is_reusable = self._parser.should_keep_alive()
        else:
            self._framed, self.location = False, None
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        """Count the body, and keep it if it is wanted."""
        self.body_size += len(data)
        if self._most_body:
            self.body += data[: self._most_body - len(self.body)]
        if self._bodiless:
            self.is_reusable = False

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was an interim one."""
        self.is_whole = self.is_whole or self.status_code != 0


def _text(value: bytes) -> str:
    try:
        return value.decode()  # what servers send, whatever RFC 9110 says; browsers read it so
    except UnicodeDecodeError:
        return value.decode("latin-1")
