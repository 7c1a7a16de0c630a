"""The egress guard: addresses that no monitor may reach, whoever created it.

A monitor makes this host send requests for its author. Cloud metadata services answer such requests with credentials, so
they and the link-local networks they live in are denied by default. The guard judges the resolved address, at connect time:
a name that points elsewhere the next time it is asked does not get around it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from peekaping.engine.net.failure import Failed
from peekaping.engine.records import Status

DEFAULT_DENY = (
    "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata service of most clouds
    "fe80::/10",
    "fd00:ec2::254/128",  # EC2's metadata service over IPv6
    "100.100.100.200/32",  # Alibaba Cloud's
    "192.0.0.192/32",  # Oracle Cloud's
)
_COMPATIBLE, _NAT64 = IPv6Network("::/96"), IPv6Network("64:ff9b::/96")
_LOOPBACK: dict[int, IPv4Address | IPv6Address] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}


class EgressGuard:
    """Refuses addresses within `deny` (networks such as `10.0.0.0/8`).

    Raises:
      ValueError: from the constructor, for a text that is no network.
    """

    def __init__(self, deny: Iterable[str] = DEFAULT_DENY) -> None:
        self._networks = tuple(ip_network(text) for text in deny)
        # Parsing an address costs more than sending the request line; a fleet has few distinct addresses.
        self._denied_by = lru_cache(maxsize=10_000)(self._find)

    def check(self, address: str) -> None:
        """Raise `Failed` (unknown: the target may be fine, we do not look) for a denied address."""
        denied_by = self._denied_by(address)
        if denied_by is not None:
            raise Failed(
                Status.UNKNOWN, "egress_denied", f"This host may not connect to {address}: {denied_by} is denied"
            )

    def _find(self, address: str) -> str | None:
        parsed = ip_address(address.partition("%")[0])
        for candidate in _led_to(parsed):
            for network in self._networks:
                if candidate in network:
                    return str(network)
        return None


def _led_to(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address itself, those within it, and for an unspecified one, as Linux connects it, this host's loopback."""
    found: list[IPv4Address | IPv6Address] = [address, *_embedded(address)]
    return found + [_LOOPBACK[one.version] for one in found if one.is_unspecified]


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to: mapped and compatible (RFC 4291), 6to4, Teredo, NAT64 (RFC 6052)."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _COMPATIBLE or address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
