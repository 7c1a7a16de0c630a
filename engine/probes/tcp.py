"""Monitors of TCP ports: a connection, on request in TLS, on request with something said and something expected.

What is expected may arrive in any number of pieces: TCP keeps no message bounds, so a short read proves nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from msgspec import Meta

from peekaping.engine.fields import Rule
from peekaping.engine.monitor import Monitor
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import Network, Stream
from peekaping.engine.net.tls import Tls
from peekaping.engine.net.trace import RECEIVE, SEND, WAIT, Trace
from peekaping.engine.probes.probe import Probe
from peekaping.engine.probes.shared import (
    Flag,
    Host,
    IpVersion,
    Pem,
    WholeNumber,
    ascii_host,
    ca_rule,
    failed,
    host_rule,
    port_rule,
    up,
)
from peekaping.engine.records import Outcome, Status

MOST_READ = 65536
"""How much of an answer is searched: a greeting is one line, a status page of a daemon a few thousand bytes."""
LONGEST_TEXT = 4096
SHOWN = 80
"""How many bytes of an answer that is not as expected are shown."""

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.?)")
_PLAIN_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}


def unescape(text: str) -> bytes:
    r"""The bytes a text stands for: UTF-8, with \r, \n, \t, \\ and \xNN for one byte each.

    Raises:
      ValueError: for any other backslash.
    """
    data, end = b"", 0
    for escape in _ESCAPE.finditer(text):
        what = escape[1]
        if len(what) == 3:
            byte = bytes.fromhex(what[1:])
        elif (known := _PLAIN_ESCAPES.get(what)) is not None:
            byte = known
        else:
            raise ValueError(escape[0])
        data += text[end : escape.start()].encode() + byte
        end = escape.end()
    return data + text[end:].encode()


def _text_rule(text: str) -> str | None:
    if not text:
        return "must say something"
    if len(text) > LONGEST_TEXT:
        return f"must have at most {LONGEST_TEXT} characters"
    try:
        unescape(text)
    except ValueError as error:
        return rf"holds {error}, which is none of \r, \n, \t, \\ and \xNN"
    return None


class TcpMonitor(Monitor, frozen=True, kw_only=True, gc=False, rename="camel", tag="tcp"):
    """Up when the port accepts a connection and, with `expect`, answers so."""

    host: Host
    port: WholeNumber
    tls: Flag = False
    ignore_tls_errors: Flag = False
    tls_ca: Pem = None
    send: Annotated[str | None, Meta(description="a text")] = None
    expect: Annotated[str | None, Meta(description="a text")] = None
    ip_version: IpVersion = None

    rules: ClassVar[dict[str, Rule]] = {
        **Monitor.rules,
        "host": host_rule,
        "port": port_rule,
        "tls_ca": ca_rule,
        "send": _text_rule,
        "expect": _text_rule,
    }


class TcpProbe(Probe):
    """A prepared check of one monitor."""

    __slots__ = ("_expect", "_host", "_ip_version", "_network", "_port", "_send", "_tls")

    def __init__(self, monitor: TcpMonitor, network: Network) -> None:
        self._host = ascii_host(monitor.host)
        self._port = monitor.port
        self._tls = Tls(verify=not monitor.ignore_tls_errors, ca=monitor.tls_ca) if monitor.tls else None
        self._send = None if monitor.send is None else unescape(monitor.send)
        self._expect = None if monitor.expect is None else unescape(monitor.expect)
        self._ip_version = monitor.ip_version
        self._network = network

    async def __call__(self, trace: Trace) -> Outcome:
        """Check once. Cancelled or not, the connection is closed."""
        try:
            stream = await self._network.connect(
                self._host, self._port, trace=trace, tls=self._tls, ip_version=self._ip_version
            )
            try:
                if self._send is not None:
                    trace.enter(SEND)
                    await stream.send(self._send)
                if self._expect is not None:
                    trace.enter(WAIT)
                    await _find(self._expect, stream, trace)
            finally:
                stream.close()
        except Failed as failure:
            return failed(failure, trace)
        return up(f"TCP port {self._port} is open", trace)


async def _find(expected: bytes, stream: Stream, trace: Trace) -> None:
    """Read until `expected` has arrived, in whatever pieces.

    Raises:
      Failed: when the connection ended or `MOST_READ` bytes have come without it. A target that just falls silent is told by
        the check's timeout.
    """
    received = bytearray()
    while len(received) < MOST_READ:
        data = await stream.receive()
        if not data:
            break
        trace.enter(RECEIVE)
        seen = max(0, len(received) - len(expected) + 1)
        received += data[: MOST_READ - len(received)]
        if received.find(expected, seen) >= 0:
            return
    begin = bytes(received[:SHOWN])
    but = f"it begins with {begin!r}" if begin else "nothing came"
    raise Failed(
        Status.DOWN, "expect_not_found", f"{expected!r} is not among the {len(received)} bytes of the answer: {but}"
    )
