"""Who is to blame when the network fails: tables of the system's errors."""

from __future__ import annotations

import errno
import os

from peekaping.engine.net.gateway import dead_gateway
from peekaping.engine.records import Status


class Failed(Exception):
    """A check ended early. `status` is DOWN (the target's fault) or UNKNOWN (ours); `reason` is for machines."""

    def __init__(self, status: Status, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


_THEIRS = {
    errno.ECONNREFUSED: ("connection_refused", "Connection refused"),
    errno.ECONNRESET: ("connection_reset", "Connection reset by the target"),
    errno.EPIPE: ("connection_reset", "Connection closed by the target"),
    errno.ENOTCONN: ("connection_reset", "Connection reset by the target"),
    errno.ECONNABORTED: ("connection_reset", "Connection aborted by the target"),
    errno.ETIMEDOUT: ("timeout", "Connection timeout"),
}
_OURS = {
    errno.EMFILE: "no_descriptors",
    errno.ENFILE: "no_descriptors",
    errno.ENOBUFS: "no_memory",
    errno.ENOMEM: "no_memory",
    errno.ENETUNREACH: "no_route",
    errno.EHOSTUNREACH: "no_route",  # a route of ours that says so
    errno.ENETDOWN: "no_route",
    errno.EADDRNOTAVAIL: "no_local_address",  # our ephemeral ports are used up, or this host lacks the address family
    errno.EAFNOSUPPORT: "no_local_address",
    errno.EACCES: "forbidden_here",  # a firewall on this host
    errno.EPERM: "forbidden_here",
}


_SAID_ON_THE_WAY = frozenset({
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENONET, errno.EACCES, errno.ENOPROTOOPT, errno.EPROTO,
    errno.EOPNOTSUPP,
})  # fmt: skip
"""What Linux makes of ICMP errors (`icmp_err_convert`, `icmpv6_err_convert`): a router's, the target's firewall's, and this
host's own when nobody on its network answers for the address."""


def blame_the_way(error: OSError, address: str | None = None) -> Failed:
    """The failure that an error stands for which came after something was sent: others may have said what means a lack of ours
    when it comes at once. With the target's `address` it is looked whether the silence is that of this host's own gateway."""
    if error.errno == errno.EHOSTUNREACH and address is not None and (gateway := dead_gateway(address)) is not None:
        return Failed(Status.UNKNOWN, "no_route", f"This host's gateway {gateway} does not answer")
    if error.errno in _SAID_ON_THE_WAY:
        return Failed(Status.DOWN, "host_unreachable", f"Host unreachable: {os.strerror(error.errno)}")
    return blame(error)


def blame(error: OSError) -> Failed:
    """The failure that an operating system's error stands for. What is in no table is our fault: never invent an outage."""
    number = error.errno or 0
    if number in _THEIRS:
        reason, message = _THEIRS[number]
        return Failed(Status.DOWN, reason, message)
    text = os.strerror(number) if number else str(error)
    return Failed(Status.UNKNOWN, _OURS.get(number, "local_error"), f"This host could not connect: {text}")
