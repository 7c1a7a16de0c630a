"""The one seam through which probes reach the network. Tests put a scripted one in its place."""

from __future__ import annotations

from typing import Protocol

import dns.message
import dns.name
from dns.rdatatype import RdataType

from peekaping.engine.net.address import is_address, of_version
from peekaping.engine.net.connection import Connection
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.resolver import Found, Resolver
from peekaping.engine.net.tls import Tls, context_for
from peekaping.engine.net.trace import CONNECT, TLS, Trace


class Stream(Protocol):
    """An open connection. `send` and `receive` raise `Failed`."""

    async def send(self, data: bytes) -> None:
        """Send everything."""

    async def receive(self) -> bytes:
        """What has arrived, at least one byte; empty at the end."""

    def is_quiet(self) -> bool:
        """Whether nothing waits to be received, on a connection that is kept; never raises. If not, it is of no use any more."""

    def set_user_timeout(self, seconds: float) -> None:
        """Fail when the target's host has not acknowledged for so long what was sent (RFC 5482)."""

    def close(self) -> None:
        """Let go of it; never blocks."""

    def protocol(self) -> str | None:
        """What ALPN agreed on; None where nothing was, and without TLS."""

    def certificate(self) -> bytes | None:
        """The certificate the target showed, in DER; None without TLS."""


class Network(Protocol):
    """What a probe may ask of the network."""

    async def find(self, host: str, *, ip_version: int | None = None) -> Found:
        """The addresses of a name, in the order to try them; an address is its own. `ip_version` is 4, 6 or None for both.

        They are not checked against the egress guard yet: that happens when something is sent there. Whoever finds that none of
        them is of use must ask `Found.late` before that is a verdict.

        Raises:
          Failed: when there is none.
        """

    async def ask(self, name: dns.name.Name, kind: RdataType) -> dns.message.Message:
        """What this host's nameservers say of a name, as it is: records, none, or that it does not exist.

        Raises:
          Failed: when they say nothing clear.
        """

    def check_egress(self, address: str) -> None:
        """Must be called before anything is sent to an address by other means than `connect`; raises Failed."""

    async def connect(
        self, host: str, port: int, *, trace: Trace, tls: Tls | None = None, ip_version: int | None = None
    ) -> Stream:
        """Resolve, connect and, with `tls`, shake hands; notes the phases in `trace`.

        Raises:
          Failed: with the blame decided. Whether it fails or is cancelled, no socket is left behind.
        """


class HostNetwork:
    """This host's network, with its egress guard."""

    def __init__(self, guard: EgressGuard, resolver: Resolver | None = None) -> None:
        self._guard = guard
        self._resolver = Resolver.of_this_host() if resolver is None else resolver

    def check_egress(self, address: str) -> None:
        """See `Network.check_egress`."""
        self._guard.check(address)

    async def find(self, host: str, *, ip_version: int | None = None) -> Found:
        """See `Network.find`."""
        if is_address(host):
            return Found(of_version((host,), ip_version, host))
        return await self._resolver.find(host, ip_version)

    async def ask(self, name: dns.name.Name, kind: RdataType) -> dns.message.Message:
        """See `Network.ask`."""
        return await self._resolver.ask(name, kind)

    async def connect(
        self, host: str, port: int, *, trace: Trace, tls: Tls | None = None, ip_version: int | None = None
    ) -> Connection:
        """See `Network.connect`."""
        found = await self.find(host, ip_version=ip_version)
        trace.enter(CONNECT)
        connection = await Connection.open(found.addresses, port, self._guard, found.late)
        if tls is not None:
            trace.enter(TLS)
            try:
                await connection.start_tls(context_for(tls), host.rstrip("."))  # certificates and SNI know no final dot
            except BaseException:
                connection.close()
                raise
        return connection
