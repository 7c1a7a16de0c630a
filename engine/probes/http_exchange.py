"""One request and its answer, read to the end: over a new connection, where TLS may agree on HTTP/2 (`http2.py`), or in HTTP/1.1
over one that was kept."""

from __future__ import annotations

import trio

from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import Network, Stream
from peekaping.engine.net.trace import RECEIVE, RESOLVE, SEND, WAIT, Trace
from peekaping.engine.probes import http2
from peekaping.engine.probes.http_answer import Answer, Wanted
from peekaping.engine.probes.http_kept import KeptConnection
from peekaping.engine.probes.http_request import Request
from peekaping.engine.records import Status

# Precedents: nginx takes 4 to 8 buffers of 8 kB for a proxied answer's header, curl 300 kB, Chromium 256 kB.
LARGEST_HEADER = 256 * 1024
FITS_ANY_WINDOW = 16 * 1024
"""A quarter of the window that Linux begins with (64 kB; ip-sysctl, tcp_rmem)."""
REQUEST_TIMEOUT = 408


async def exchange(
    request: Request, network: Network, trace: Trace, wanted: Wanted, kept: KeptConnection | None = None
) -> Answer:
    """Send a request and read the answer to its end or until `max_body` bytes of body.

    With `kept` over the connection kept there, if there is one, and it is kept again when another request may follow. A target
    may close an idle connection at any time: when that shows before a byte of the answer, the request is sent once more, over
    a new connection. RFC 9112, 9.3.1 would have us spare POST and PATCH; browsers do not, and it would be a false outage.

    The path of a kept connection may also be gone without a word. Then nobody acknowledges the request, which TCP notices by
    its user timeout (RFC 5482) after half of the time that is left. A target that is slow to answer acknowledges at once, so
    it has all of that time; a limit of our own could not tell the two apart. (Nor does TCP where a window is closed: a request
    that need not fit into it goes over a new connection.) One that accepts the request and never answers is down, though
    another connection might have been answered: whoever keeps connections is served so.

    Raises:
      Failed: when there is no answer or it is not whole. Nothing but `kept` is left open, also when cancelled.
    """
    trace.enter(RESOLVE)
    if len(request.data) > FITS_ANY_WINDOW:
        kept = None
    if kept is not None and (stream := kept.take()) is not None:
        stream.set_user_timeout((trio.current_effective_deadline() - trio.current_time()) / 2)
        try:
            answer = await _converse(stream, request, trace, wanted, kept)
            if answer.status_code != REQUEST_TIMEOUT:  # said to the idle connection, not to us (RFC 9110, 15.5.9)
                return answer
            kept.close()
        except Failed:
            if trace.phase == RECEIVE:
                raise
        trace.enter(RESOLVE)
    try:
        return await _converse_anew(request, network, trace, wanted, kept)
    except http2.Unprocessed:
        trace.enter(RESOLVE)
        return await _converse_anew(request, network, trace, wanted, kept)


async def _converse_anew(
    request: Request, network: Network, trace: Trace, wanted: Wanted, kept: KeptConnection | None
) -> Answer:
    stream = await network.connect(
        request.host, request.port, trace=trace, tls=request.tls, ip_version=wanted.ip_version
    )
    if request.fields and stream.protocol() == http2.PROTOCOL:
        try:
            return await http2.converse(stream, request, trace, wanted, LARGEST_HEADER)
        finally:
            stream.close()  # it is not kept
    if kept is not None:
        kept.opened = trio.current_time()
    return await _converse(stream, request, trace, wanted, kept)


async def _converse(
    stream: Stream, request: Request, trace: Trace, wanted: Wanted, kept: KeptConnection | None
) -> Answer:
    answer = Answer(request.method, wanted)
    is_kept = False
    unsent: Failed | None = None
    try:
        trace.enter(SEND)
        try:
            await stream.send(request.data)
            trace.enter(WAIT)
        except Failed as failure:
            unsent = failure
        if unsent is None:
            data = await stream.receive()
        elif not (data := await _left_behind(stream)):
            raise unsent
        received = 0
        if data:
            trace.enter(RECEIVE)
        while data:
            answer.feed(data)
            if answer.is_whole or answer.leads_to is not None or answer.body_size > wanted.max_body:
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
            kept.put(stream)
        return answer
    finally:
        unsent = None  # or the exception holds this frame, which holds the exception
        answer.release()
        if not is_kept:
            stream.close()


async def _left_behind(stream: Stream) -> bytes:
    """What the target said before it broke off; empty when it said nothing.

    Whoever refuses a large body may answer and close without reading it, and the answer counts.
    """
    try:
        return await stream.receive()
    except Failed:
        return b""
