"""Who is to blame when the network fails: one table."""

from __future__ import annotations

import errno
import os

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
    errno.EHOSTUNREACH: ("host_unreachable", "Host unreachable"),
    errno.EHOSTDOWN: ("host_unreachable", "Host down"),
    errno.ETIMEDOUT: ("timeout", "Connection timeout"),
}
_OURS = {
    errno.EMFILE: "no_descriptors",
    errno.ENFILE: "no_descriptors",
    errno.ENOBUFS: "no_memory",
    errno.ENOMEM: "no_memory",
    errno.ENETUNREACH: "no_route",
    errno.ENETDOWN: "no_route",
    errno.EADDRNOTAVAIL: "no_local_address",  # our ephemeral ports are used up, or this host lacks the address family
    errno.EAFNOSUPPORT: "no_local_address",
    errno.EACCES: "forbidden_here",  # a firewall on this host
    errno.EPERM: "forbidden_here",
}


def blame(error: OSError) -> Failed:
    """The failure that an operating system's error stands for. What is in no table is our fault: never invent an outage."""
    number = error.errno or 0
    if number in _THEIRS:
        reason, message = _THEIRS[number]
        return Failed(Status.DOWN, reason, message)
    text = os.strerror(number) if number else str(error)
    return Failed(Status.UNKNOWN, _OURS.get(number, "local_error"), f"This host could not connect: {text}")
