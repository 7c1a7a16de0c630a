"""ICMP echo (RFC 792, RFC 4443 4.1), on a datagram socket where this user may open one, else on a raw one.

Each check has a socket of its own, connected to its target. Shared by all checks, a socket would need a reader that outlives each
of them and hands replies on, a burst of replies to many checks would overflow the one receive buffer, which looks like packet
loss, and Linux reports "host unreachable" on whatever is done with the socket next, which may be another target's packet.
Connected, the kernel does the sorting, and the error is the target's. Opening one costs 30 µs, 40 when the first
kind is denied.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import trio

from peekaping.engine.net.failure import Failed, blame, blame_the_way
from peekaping.engine.records import Status

MOST_REPORTS = 1000
"""Taken at once; more than any check sends packets."""
LARGEST_PAYLOAD = 65507
"""What an IPv4 packet holds beside its own header and ICMP's."""

_HEADER = struct.Struct("!BBHHH")
_REQUEST, _REPLY = {socket.AF_INET: 8, socket.AF_INET6: 128}, {socket.AF_INET: 0, socket.AF_INET6: 129}
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
# Linux tells of unreachable hosts only who asks: IP_RECVERR (linux/in.h), IPV6_RECVERR (linux/in6.h). Elsewhere they are silent.
_TELL_ERRORS = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_NOT_PERMITTED = (
    "This host does not let this user ping: let the user's group into the sysctl net.ipv4.ping_group_range, "
    "or give the process the capability CAP_NET_RAW"
)


class Reply(NamedTuple):
    identifier: int
    sequence: int
    payload: bytes


def echo_request(family: socket.AddressFamily, identifier: int, sequence: int, payload: bytes) -> bytes:
    """A packet as it goes into the socket. The checksum is IPv4's: IPv6's covers the addresses, so the kernel makes it."""
    header = _HEADER.pack(_REQUEST[family], 0, 0, identifier, sequence)
    return _HEADER.pack(_REQUEST[family], 0, checksum(header + payload), identifier, sequence) + payload


def checksum(data: bytes) -> int:
    """RFC 1071. A sum of 16-bit words with the carry added back is the remainder of a division by 65,535."""
    return 0xFFFF - int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF


def echo_reply(family: socket.AddressFamily, packet: bytes) -> Reply | None:
    """What came out of the socket; None when it is no reply: raw sockets are given all ICMP, our own requests on loopback too."""
    if family == socket.AF_INET and packet and packet[0] >> 4 == 4:  # raw sockets keep the IPv4 header
        packet = packet[4 * (packet[0] & 15) :]
    if len(packet) < _HEADER.size:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(packet)
    return Reply(identifier, sequence, packet[_HEADER.size :]) if (kind, code) == (_REPLY[family], 0) else None


class Echo:
    """Sends echo requests to one address and receives its replies. Close it, whatever happens; closing never blocks."""

    __slots__ = ("_address", "_family", "_identifier", "_said", "_socket")

    def __init__(self, address: str, make: Callable[..., socket.socket] = socket.socket) -> None:
        """Open a socket to `address`; never blocks.

        Raises:
          Failed: UNKNOWN when this user may not (`ping_not_permitted`) or this host has no way there.
        """
        self._family = family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._address = address
        self._said: list[int] = []
        """Errors that somebody reported, of a packet each, for `receive` to tell."""
        try:
            self._socket = sock = _permitted(family, make)
        except PermissionError as error:
            raise Failed(Status.UNKNOWN, "ping_not_permitted", _NOT_PERMITTED) from error
        except OSError as error:
            raise blame(error) from error
        try:
            sock.setblocking(False)
            if sys.platform == "linux":
                sock.setsockopt(*_TELL_ERRORS[family], 1)
            sock.connect((address, 0))
        except OSError as error:
            sock.close()
            raise blame(error) from error
        # A datagram socket's identifier is given by the kernel, as its port.
        raw = sock.type == socket.SOCK_RAW
        self._identifier = int.from_bytes(os.urandom(2), "big") if raw else sock.getsockname()[1]

    async def send(self, sequence: int, payload: bytes) -> float:
        """Send one request; when that was, on trio's clock.

        Raises:
          Failed: when this host cannot; what others say of a packet is for `receive`.
        """
        packet = echo_request(self._family, self._identifier, sequence, payload)
        await trio.lowlevel.checkpoint()
        while True:
            # What was said of an earlier packet would look like a fault of this host's in sending this one.
            if said := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._note(said)
            try:
                at = trio.current_time()
                self._socket.send(packet)
                return at
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            except OSError as error:
                raise blame(error) from error

    async def receive(self) -> Reply:
        """The next reply to this socket's requests, in whatever order they come.

        Raises:
          Failed: when a router or the target says that a packet could not be delivered.
        """
        while True:
            if self._said:
                raise blame_the_way(OSError(self._said.pop(), ""), self._address)
            try:
                packet = self._socket.recv(65536)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)
                continue
            except OSError as error:
                self._note(error.errno or 0)
                continue
            reply = echo_reply(self._family, packet)
            if reply is not None and reply.identifier == self._identifier:
                return reply
            await trio.lowlevel.checkpoint()  # a raw socket is given all of this host's ICMP, which may be without end

    def _note(self, said: int) -> None:
        """Note an error for each packet that it was reported of, and take the reports out of the socket: while one lies there
        the socket is never quiet."""
        reports = 0
        with suppress(OSError):  # there is none any more
            while reports < MOST_REPORTS:
                self._socket.recvmsg(1, 0, socket.MSG_ERRQUEUE)
                reports += 1
        self._said += [said] * max(1, reports)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def _permitted(family: socket.AddressFamily, make: Callable[..., socket.socket]) -> socket.socket:
    try:
        return make(family, socket.SOCK_DGRAM, _PROTOCOL[family])
    except PermissionError:
        return make(family, socket.SOCK_RAW, _PROTOCOL[family])
