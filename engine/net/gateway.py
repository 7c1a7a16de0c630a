"""Whether it is this host's own gateway that does not answer: then no target behind it is to blame.

Linux reports "host unreachable" when nobody on its own network answers for an address (ARP, RFC 826), be it the target's or the
gateway's, and a router on the way reports the same. Which of them it was its tables tell. They are looked at only then.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, ip_address
from pathlib import Path

ROUTES, NEIGHBOURS = Path("/proc/net/route"), Path("/proc/net/arp")
IS_UP = 1
NOT_RESOLVED = 0


def dead_gateway(address: str, routes: Path | None = None, neighbours: Path | None = None) -> str | None:
    """The gateway that leads to an IPv4 address, if it does not answer on this host's network.

    None where it does, where the address is on a network of this host's own, and for IPv6, whose neighbours are in no file.
    """
    target = ip_address(address.partition("%")[0])
    if not isinstance(target, IPv4Address):
        return None
    try:
        gateway = _gateway(target, (routes or ROUTES).read_text())
        return None if gateway is None or _answers(gateway, (neighbours or NEIGHBOURS).read_text()) else gateway
    except (OSError, ValueError, IndexError):
        return None  # another kernel's tables: nothing is known


def _gateway(target: IPv4Address, routes: str) -> str | None:
    """By the longest prefix, and of those that are as long by the least metric."""
    best: tuple[int, int, str | None] | None = None
    for line in routes.splitlines()[1:]:
        _, network, gateway, flags, _, _, metric, mask, *_ = line.split()
        prefix = int(_address(mask))
        if int(flags, 16) & IS_UP and int(target) & prefix == int(_address(network)):
            hop = None if int(gateway, 16) == 0 else str(_address(gateway))
            found = prefix, -int(metric), hop
            best = found if best is None else max(best, found, key=lambda route: route[:2])
    return None if best is None else best[2]


def _address(text: str) -> IPv4Address:
    """Written as the kernel's machine has the number, which is the network's order in its memory."""
    return IPv4Address(struct.pack("=I", int(text, 16)))


def _answers(gateway: str, neighbours: str) -> bool:
    """Whether it is not among those that were asked for in vain."""
    rows = [line.split() for line in neighbours.splitlines()[1:]]
    return not any(row[0] == gateway and int(row[2], 16) == NOT_RESOLVED for row in rows)
