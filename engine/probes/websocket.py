"""Monitors of WebSockets: the opening handshake (RFC 6455), on request with something said and something expected.

The protocol is wsproto's, which does no I/O; the connection is ours, so that phases, egress guard and TLS are those of every
other check.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, ClassVar

import httpx
import trio
from msgspec import Meta, field
from wsproto import WSConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import RemoteProtocolError

from peekaping.engine.fields import Rule, text_up_to
from peekaping.engine.monitor import Monitor
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import Network, Stream
from peekaping.engine.net.tls import Tls
from peekaping.engine.net.trace import RECEIVE, SEND, WAIT, Trace
from peekaping.engine.probes.http_rules import headers_rule
from peekaping.engine.probes.probe import Probe
from peekaping.engine.probes.shared import Flag, IpVersion, Pem, ascii_host, ca_rule, failed, up
from peekaping.engine.records import Outcome, Status, plain_message
from peekaping.engine.user_agent import USER_AGENT

LONGEST_TEXT = 65536
LARGEST_MESSAGE = 1024 * 1024
"""How many characters of one message are kept to look for what is expected; a larger one is a failure."""
CLOSE_WITHIN_S = 0.25
"""How long the target may take to say goodbye. It is asked after the verdict, whose time it does not count into."""

_OURS = frozenset({"host", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"})
_SUBPROTOCOL = "sec-websocket-protocol"


def _url_rule(text: str) -> str | None:
    if not text.strip():
        return "is required"
    try:
        url = httpx.URL(text)
        if url.scheme not in ("ws", "wss"):
            return "must start with ws:// or wss://"
        if url.userinfo:
            return "must not hold a password; send an Authorization header instead"
        if "#" in text:
            return "must not hold a fragment (RFC 6455, 3)"
        if not 0 < (url.port or 80) < 65536:
            return "must have a port up to 65535"
        ascii_host(url.raw_host.decode("ascii"))
        url.netloc.decode("ascii").encode("idna")  # as wsproto does
    except (httpx.InvalidURL, ValueError) as error:
        return f"is not valid: {error}"
    return None


def _headers_rule(headers: dict[str, str]) -> str | None:
    for name in headers:
        if name.lower() in _OURS:
            return f"must not set {name}: it is made from the request"
    return headers_rule(headers)


class WebsocketMonitor(Monitor, frozen=True, kw_only=True, gc=False, rename="camel", tag="websocket"):
    """Up when the handshake succeeds and, with `expect`, a text message comes that holds it."""

    url: Annotated[str, Meta(description="a text such as wss://example.com/live")]
    headers: Annotated[dict[str, str], Meta(description="an object of texts")] = field(default_factory=dict)
    secret_headers: Annotated[tuple[str, ...], Meta(description="a list of header names")] = ()
    send: Annotated[str | None, Meta(description="a text")] = None
    expect: Annotated[str | None, Meta(description="a text")] = None
    ignore_tls_errors: Flag = False
    tls_ca: Pem = None
    ip_version: IpVersion = None

    rules: ClassVar[dict[str, Rule]] = {
        **Monitor.rules,
        "url": _url_rule,
        "headers": _headers_rule,
        "send": text_up_to(LONGEST_TEXT),
        "expect": text_up_to(LONGEST_TEXT),
        "tls_ca": ca_rule,
    }


class WebsocketProbe(Probe):
    """A prepared check of one monitor."""

    __slots__ = ("_host", "_monitor", "_network", "_port", "_request", "_tls")

    def __init__(self, monitor: WebsocketMonitor, network: Network) -> None:
        url = httpx.URL(monitor.url)
        secure = url.scheme == "wss"
        self._host = ascii_host(url.raw_host.decode("ascii"))
        self._port = url.port or (443 if secure else 80)
        self._tls = Tls(verify=not monitor.ignore_tls_errors, ca=monitor.tls_ca) if secure else None
        # The target may only choose among the subprotocols that were asked for, so wsproto must know them.
        subprotocols = next((value for name, value in monitor.headers.items() if name.lower() == _SUBPROTOCOL), "")
        headers = [(name, value) for name, value in monitor.headers.items() if name.lower() != _SUBPROTOCOL]
        if not any(name.lower() == "user-agent" for name, _ in headers):
            headers.append(("User-Agent", USER_AGENT))
        self._request = Request(
            host=url.netloc.decode("ascii"),
            target=url.raw_path.decode("ascii"),
            subprotocols=[name.strip() for name in subprotocols.split(",") if name.strip()],
            extra_headers=[(name.encode(), value.strip(" \t").encode("latin-1")) for name, value in headers],
        )
        self._monitor = monitor
        self._network = network

    async def __call__(self, trace: Trace) -> Outcome:
        """Check once. Cancelled or not, the connection is closed."""
        monitor = self._monitor
        try:
            stream = await self._network.connect(
                self._host, self._port, trace=trace, tls=self._tls, ip_version=monitor.ip_version
            )
            try:
                websocket = _Websocket(stream)
                trace.enter(SEND)
                await websocket.send(self._request)
                trace.enter(WAIT)
                await websocket.accepted()
                if monitor.send is not None:
                    trace.enter(SEND)
                    await websocket.send(TextMessage(monitor.send))
                if monitor.expect is not None:
                    trace.enter(RECEIVE)
                    await websocket.find(monitor.expect)
                outcome = up("WebSocket is open" if monitor.expect is None else "WebSocket answers as expected", trace)
                with trio.move_on_after(CLOSE_WITHIN_S, shield=True):  # the verdict stands, also when time is up now
                    await websocket.say_goodbye()
            finally:
                stream.close()
        except Failed as failure:
            return failed(failure, trace)
        return outcome


class _Websocket:
    """wsproto over a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)

    async def send(self, event: Event) -> None:
        await self._stream.send(self._protocol.send(event))

    async def accepted(self) -> None:
        """Wait for the handshake's answer; raises Failed when it is any other than yes."""
        event = await self._next()
        while isinstance(event, RejectConnection) and event.status_code < 200:  # 100 or 103, which reject nothing
            event = await self._next()
        if isinstance(event, RejectConnection):
            message = (
                f"The target answered {event.status_code} {plain_message(event.status_code)} in place of a WebSocket"
            )
            raise Failed(Status.DOWN, "not_a_websocket", message)
        assert isinstance(event, AcceptConnection), "the first event of a handshake"

    async def find(self, expected: str) -> None:
        """Read until a text message holds `expected`; all others are skipped.

        Raises:
          Failed: when the target closed the WebSocket, or its message is too large.
        """
        text = ""
        while True:
            event = await self._next()
            if isinstance(event, CloseConnection):
                raise self._closed(event)
            if isinstance(event, TextMessage):
                seen = max(0, len(text) - len(expected) + 1)
                text += event.data
                if text.find(expected, seen) >= 0:
                    return
                if len(text) > LARGEST_MESSAGE:
                    message = f"A message has more than {LARGEST_MESSAGE} characters"
                    raise Failed(Status.DOWN, "message_too_large", message)
                if event.message_finished:
                    text = ""

    async def say_goodbye(self) -> None:
        """The closing handshake (RFC 6455, 7.1.2); what goes wrong with it does not matter any more."""
        with suppress(Failed):
            await self.send(CloseConnection(code=1000))
            while not isinstance(await self._next(), CloseConnection):
                pass

    async def _next(self) -> Event:
        """The next event; pings are answered.

        Raises:
          Failed: when what comes is no WebSocket, or nothing more comes.
        """
        while True:
            # Thousands of tiny messages may arrive at once, each a fraction of a millisecond's work.
            await trio.lowlevel.checkpoint()
            event = next(self._protocol.events(), None)
            if event is None:
                await self._read()
            elif not isinstance(event, Ping):
                return event
            elif self._protocol.state is ConnectionState.OPEN:
                await self.send(event.response())

    async def _read(self) -> None:
        data = await self._stream.receive()
        if not data:
            if self._protocol.connection is None:
                raise Failed(Status.DOWN, "empty_answer", "The target closed the connection without an answer")
            raise Failed(Status.DOWN, "connection_cut", "The target ended the connection without closing the WebSocket")
        try:
            self._protocol.receive_data(data)
        except (RemoteProtocolError, UnicodeDecodeError) as error:  # the latter for a header that is not ASCII
            raise Failed(Status.DOWN, "bad_answer", f"The answer is no WebSocket handshake: {error}") from error

    def _closed(self, event: CloseConnection) -> Failed:
        what = f"{event.code}{f' {event.reason}' if event.reason else ''}"
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            return Failed(Status.DOWN, "websocket_closed", f"The target closed the WebSocket: {what}")
        return Failed(Status.DOWN, "bad_answer", f"A frame of the target breaks the protocol: {what}")
