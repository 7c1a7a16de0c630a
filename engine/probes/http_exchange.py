"""One HTTP/1.1 request and its answer, read to the end.

What counts as an answer is RFC 9112's business and llhttp's (through httptools); what is decided here is when an answer is whole:
by its length, by its last chunk, or, when it has neither, by the connection's end. Cut short, it is a failure.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import httptools
import trio

from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import Network, Stream
from peekaping.engine.net.trace import RECEIVE, RESOLVE, SEND, WAIT, Trace
from peekaping.engine.probes.http_request import Request
from peekaping.engine.records import Status

# Precedents: nginx takes 4 to 8 buffers of 8 kB for a proxied answer's header, curl 300 kB, Chromium 256 kB.
LARGEST_HEADER = 256 * 1024
REQUEST_TIMEOUT = 408

MOST_IDLE_S = 60.0
"""After this, whoever lies in between (NAT, load balancers) may have forgotten a connection: AWS does after 60 s."""
OLDEST_S = 600.0
"""Then a new connection shows a renewed certificate, and a name that leads elsewhere."""


class Wanted(NamedTuple):
    """What of an answer is asked for: what nobody asks for is not kept."""

    max_body: int
    """Bytes of body after which reading ends."""
    headers: frozenset[bytes] = frozenset()
    """Names in lower case."""
    body: bool = False
    certificate: bool = False
    ip_version: int | None = None


class Answer:
    """An answer as it is parsed. httptools calls the `on_` methods."""

    __slots__ = (
        "_bodiless", "_framed", "_most_body", "_names", "_parser", "body", "body_size", "certificate", "headers", "is_reusable",
        "is_whole", "location", "status_code",
    )  # fmt: skip

    def __init__(self, method: str, wanted: Wanted) -> None:
        # The two hold each other, a cycle that `release` breaks: thousands a second are not left to the collector.
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # What browsers and curl read is no outage: header lines folded over two and lines that end without CR (RFC 9112, 5.2
        # and 2.2), a length beside chunks (6.3), spaces after a chunk's size. Dangerous it is to proxies, which pass it on.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_chunked_length=True,
            lenient_transfer_encoding=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._names = wanted.headers
        self._most_body = wanted.max_body if wanted.body else 0
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

    def feed(self, data: bytes) -> None:
        """Parse what arrived."""
        assert self._parser is not None, "fed after release"
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.is_whole, self.is_reusable = True, False  # 101: what follows is no HTTP
        except httptools.HttpParserError as error:
            if not self.is_whole:  # what comes after a whole answer is nobody's business
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
            self.location = _text(value)
        elif lowered == b"content-length":
            self._framed = True
        elif (
            lowered == b"transfer-encoding"
        ):  # any other coding than chunked, last, lasts to the connection's end (RFC 9112, 6.3)
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


class KeptConnection:
    """The connection that a monitor with `keepAlive` keeps from one check to the next."""

    __slots__ = ("_idle_since", "_stream", "_waited_s", "opened")

    def __init__(self) -> None:
        self._stream: Stream | None = None
        self._idle_since = self._waited_s = 0.0
        self.opened = 0.0
        """When the connection was made, whether it lies here or is in use."""

    def put(self, stream: Stream, waited_s: float) -> None:
        """Keep a connection on which the answer took so long to begin."""
        self._stream, self._waited_s, self._idle_since = stream, waited_s, trio.current_time()

    def take(self, left_s: float) -> Stream | None:
        """The kept one, if it is of use still; it is the caller's to close now.

        It is not when the target needs more than a quarter of the time that is left: half of it may be lost on a connection
        that is silent, and what remains must be enough.
        """
        stream, self._stream = self._stream, None
        now = trio.current_time()
        if stream is None or (
            now - self._idle_since <= MOST_IDLE_S
            and now - self.opened <= OLDEST_S
            and self._waited_s <= left_s / 4
            and stream.is_quiet()
        ):
            return stream
        stream.close()
        return None

    def close(self) -> None:
        """Close what is kept."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


async def exchange(
    request: Request, network: Network, trace: Trace, wanted: Wanted, kept: KeptConnection | None = None
) -> Answer:
    """Send a request and read the answer to its end or until `max_body` bytes of body.

    With `kept` over the connection kept there, if there is one, and it is kept again when another request may follow. A target
    may close an idle connection at any time: when that shows before a byte of the answer, the request is sent once more, over
    a new connection; also when the kept one was silent for half of the time that is left, since its path may be gone without a
    word. RFC 9112, 9.3.1 would have us spare POST and PATCH; browsers do not, and it would be a false outage.

    Raises:
      Failed: when there is no answer or it is not whole. Nothing but `kept` is left open, also when cancelled.
    """
    trace.enter(RESOLVE)
    left_s = trio.current_effective_deadline() - trio.current_time()
    if kept is not None and (stream := kept.take(left_s)) is not None:
        try:
            answer = await _converse(stream, request, trace, wanted, kept, left_s / 2)
            if answer.status_code != REQUEST_TIMEOUT:  # said to the idle connection, not to us (RFC 9110, 15.5.9)
                return answer
            kept.close()
        except (Failed, trio.TooSlowError):
            if trace.phase == RECEIVE:
                raise
        trace.enter(RESOLVE)
    stream = await network.connect(
        request.host, request.port, trace=trace, tls=request.tls, ip_version=wanted.ip_version
    )
    if kept is not None:
        kept.opened = trio.current_time()
    return await _converse(stream, request, trace, wanted, kept)


async def _converse(
    stream: Stream,
    request: Request,
    trace: Trace,
    wanted: Wanted,
    kept: KeptConnection | None,
    patience_s: float = inf,
) -> Answer:
    """Raises Failed, and TooSlowError when the answer has not begun after `patience_s`."""
    answer = Answer(request.method, wanted)
    is_kept = False
    try:
        received = 0
        began = trio.current_time()
        with trio.fail_after(patience_s):
            trace.enter(SEND)
            await stream.send(request.data)
            trace.enter(WAIT)
            data = await stream.receive()
        waited_s = trio.current_time() - began
        if data:
            trace.enter(RECEIVE)
        while data:
            answer.feed(data)
            if answer.is_whole or answer.body_size > wanted.max_body:
                break
            received += len(data)
            # A chunk of one byte has five of framing; beyond that it is no body that somebody wants to send.
            if received - answer.body_size > LARGEST_HEADER + 8 * answer.body_size:
                raise Failed(Status.DOWN, "header_too_large", f"The header is larger than {LARGEST_HEADER} bytes")
            data = await stream.receive()
        else:
            answer.end()
        if wanted.certificate:
            answer.certificate = stream.certificate()
        if kept is not None and answer.is_whole and answer.is_reusable:
            is_kept = True
            kept.put(stream, waited_s)
        return answer
    finally:
        answer.release()
        if not is_kept:
            stream.close()
