"""One request and its answer over HTTP/2 (RFC 9113), where the TLS handshake agreed on it.

Frames, the compression of headers and the states of streams are h2's, which does no I/O. It is given one frame at a time, since
what it finds in several is lost when the last one is wrong, and a target may send thousands of tiny ones at once.

An answer is whole when its stream ends. The connection's end, a reset of the stream or fewer bytes than Content-Length before
that are failures, as they are in HTTP/1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NoReturn

import trio
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import DenialOfServiceError, H2Error, InvalidBodyLengthError
from h2.settings import SettingCodes, Settings

from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import Stream
from peekaping.engine.net.trace import RECEIVE, SEND, WAIT, Trace
from peekaping.engine.probes.http_answer import Answer, Wanted
from peekaping.engine.probes.http_request import Request
from peekaping.engine.records import Status

PROTOCOL = "h2"
"""Its name in ALPN."""
STREAM = 1
FRAME_HEADER = 9
LARGEST_FRAME = 16384
"""What a peer may send that was told of no other size (RFC 9113, 4.2)."""
WINDOW = 1 << 30
"""More than is ever received, framing and padding included, so that no target waits for us to open it; Go's client has the same
for its connections. What holds back a target that sends too fast is TCP: each piece is dealt with before the next is read."""
SETTINGS, LARGEST_SETTINGS = 4, 600
"""The frame's type, and the bytes of a hundred entries: servers send fewer than ten, and 2,730 of them take h2 0.2 s."""
FRAMES_AT_ONCE = 50
"""A frame costs some 20 µs."""

_BODILESS = frozenset({204, 304})
_STATUS = re.compile(rb"[2-9]\d\d")
# What browsers and curl refuse (RFC 9113, 8.2.1 and 8.2.2). h2's own validation also refuses spaces around a value, which they
# take and busy sites send.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[^\0\r\n]*")
_OF_THE_CONNECTION = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})


class Unprocessed(Failed):
    """The target says that it has not looked at the request, which may be sent again (RFC 9113, 8.7): servers do that when
    they are reloaded."""


async def converse(stream: Stream, request: Request, trace: Trace, wanted: Wanted, largest_header: int) -> Answer:
    """Send a request and read the answer to its end or until `max_body` bytes of body; then the stream is of no more use.

    Raises:
      Failed: when there is no answer or it is not whole.
    """
    trace.enter(SEND)
    answer = Answer(request.method, wanted)
    conversation = _Conversation(answer, request, wanted.max_body, largest_header)
    try:
        while not conversation.is_over():
            if said := conversation.say():
                await stream.send(said)
            if trace.phase == SEND and conversation.is_sent:
                trace.enter(WAIT)
            data = await stream.receive()
            if not data:
                conversation.end()
            for frames, frame in enumerate(conversation.frames_in(data), 1):
                conversation.hear(frame)
                if answer.status_code and trace.phase != RECEIVE:
                    trace.enter(RECEIVE)
                if conversation.is_over():
                    break
                if frames % FRAMES_AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
        if wanted.certificate:
            answer.certificate = stream.certificate()
        return answer
    finally:
        conversation.release()


class _Conversation:
    """What is said and heard, without I/O."""

    def __init__(self, answer: Answer, request: Request, max_body: int, largest_header: int) -> None:
        self._answer = answer
        self._unsent = memoryview(request.body)
        self._is_head = request.method == "HEAD"
        self._max_body = max_body
        self._largest_header = largest_header
        self._length: int | None = None
        """What Content-Length says."""
        self._buffer = bytearray()
        self._overhead = 0
        """Bytes received that are no body."""
        self._header_size = 0
        self._connection = connection = H2Connection(H2Configuration(validate_inbound_headers=False))
        initial = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: largest_header,
        }
        connection.local_settings = Settings(client=True, initial_values=initial)
        connection.decoder.max_header_list_size = largest_header
        connection.initiate_connection()
        connection.increment_flow_control_window(WINDOW - connection.inbound_flow_control_window)
        connection.send_headers(STREAM, request.fields, end_stream=not request.body)

    @property
    def is_sent(self) -> bool:
        return not self._unsent

    def is_over(self) -> bool:
        """Whether the answer is whole, or as much of it as is read."""
        answer = self._answer
        return answer.is_whole or answer.leads_to is not None or answer.body_size > self._max_body

    def say(self) -> bytes:
        """What is to be sent now: of the request's body as much as the target takes."""
        connection = self._connection
        while self._unsent:
            room = min(connection.local_flow_control_window(STREAM), connection.max_outbound_frame_size)
            if room <= 0:
                break
            piece, self._unsent = self._unsent[:room], self._unsent[room:]
            connection.send_data(STREAM, piece, end_stream=not self._unsent)
        return connection.data_to_send()

    def frames_in(self, data: bytes) -> Iterator[bytes]:
        """The frames that have arrived.

        Raises:
          Failed: for one that is too large, at once: h2 waits until it is there, and "HTTP" begins one of 5 MB.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) > 2:
            length = int.from_bytes(buffer[:3])
            if length > LARGEST_FRAME:
                raise _bad(f"a frame of {length} bytes")
            if len(buffer) > 3 and buffer[3] == SETTINGS and length > LARGEST_SETTINGS:
                raise _bad(f"{length // 6} settings at once")
            end = FRAME_HEADER + length
            if len(buffer) < end:
                return
            frame = bytes(buffer[:end])
            del buffer[:end]
            yield frame

    def hear(self, frame: bytes) -> None:
        """Take in one frame; raises Failed."""
        try:
            events = self._connection.receive_data(frame)
        except DenialOfServiceError as error:
            raise self._too_large() from error
        except InvalidBodyLengthError as error:
            raise _wrong_length(error.expected_length, error.actual_length) from error
        except H2Error as error:
            raise _bad(str(error)) from error
        self._overhead += len(frame)
        for event in events:
            self._take(event)
        # A frame of one byte has nine of framing; beyond that it is no body that somebody wants to send.
        if self._overhead > self._largest_header + 10 * self._answer.body_size:
            raise _bad(f"{self._overhead} bytes of frames that carry no body")

    def end(self) -> NoReturn:
        """The connection has ended, too early in any case; raises Failed."""
        if not self._answer.status_code:
            raise Failed(Status.DOWN, "empty_answer", "The target closed the connection without an answer")
        message = f"The answer was cut short: the connection ended after {self._answer.body_size} bytes"
        raise Failed(Status.DOWN, "body_cut_short", message)

    def release(self) -> None:
        """Nothing can be said or heard any more. h2's connection holds its own methods: no work for the collector."""
        self._answer.release()
        vars(self._connection).clear()

    def _take(self, event: Event) -> None:
        match event:
            case InformationalResponseReceived():
                self._count(event.headers)
            case ResponseReceived():
                self._count(event.headers)
                self._begin(event.headers)
            case DataReceived():
                self._overhead -= len(event.data)
                self._answer.on_body(event.data)
            case StreamEnded():
                length, size = self._length, self._answer.body_size
                # h2 looks at the length when a body ends, but not when there is none, or trailers behind it.
                if length is not None and length != size and not self._answer.is_whole:
                    raise _wrong_length(length, size)
                self._answer.is_whole = True
            case RequestReceived():  # what h2 makes of an answer on a stream of the target's own
                raise _bad("an answer that nobody asked for")
            case StreamReset():
                unprocessed = event.error_code == ErrorCodes.REFUSED_STREAM
                raise _broken_off("reset the stream", event.error_code, unprocessed=unprocessed)
            case ConnectionTerminated():
                unprocessed = (event.last_stream_id or 0) < STREAM
                if event.error_code != ErrorCodes.NO_ERROR or unprocessed:
                    raise _broken_off("ended the connection", event.error_code, unprocessed=unprocessed)
                # What was begun goes on (RFC 9113, 6.8); to h2 this is the end.
                self._connection.state_machine.state = ConnectionState.CLIENT_OPEN

    def _begin(self, header: Sequence[tuple[bytes, bytes]]) -> None:
        """Note the header of the final answer."""
        status = header[0][1] if header and header[0][0] == b":status" else b""
        if not _STATUS.fullmatch(status):
            raise _bad("no status code")
        answer = self._answer
        for name, value in header[1:]:
            if name in _OF_THE_CONNECTION or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise _bad(f"the header {name!r}")
            answer.on_header(name, value.strip(b" \t"))
            if name == b"content-length":
                self._length = int(value)  # a number: h2 has seen to it
        answer.status_code = int(status)
        answer.is_whole = self._is_head or answer.status_code in _BODILESS

    def _count(self, header: Sequence[tuple[bytes, bytes]]) -> None:
        """Interim answers without end, each a few bytes that decompress to many, are stopped here."""
        self._header_size += sum(len(name) + len(value) for name, value in header)
        if self._header_size > self._largest_header:
            raise self._too_large()

    def _too_large(self) -> Failed:
        message = f"The header is larger than {self._largest_header} bytes"
        return Failed(Status.DOWN, "header_too_large", message)


def _bad(what: str) -> Failed:
    return Failed(Status.DOWN, "bad_answer", f"The answer is not valid HTTP/2: {what}")


def _broken_off(what: str, code: ErrorCodes | int | None, *, unprocessed: bool) -> Failed:
    name = code.name if isinstance(code, ErrorCodes) else f"error {code}"
    kind = Unprocessed if unprocessed else Failed
    return kind(Status.DOWN, "stream_reset", f"The target {what} before the answer was whole: {name}")


def _wrong_length(expected: int, actual: int) -> Failed:
    reason = "body_cut_short" if actual < expected else "bad_answer"
    return Failed(Status.DOWN, reason, f"The body has {actual} bytes where Content-Length says {expected}")
