"""IP addresses as texts."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from peekaping.engine.net.failure import Failed
from peekaping.engine.records import Status


@lru_cache(maxsize=10_000)
def is_address(host: str) -> bool:
    """Whether this is an IP address, which needs no resolver."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def of_version(addresses: tuple[str, ...], ip_version: int | None, host: str) -> tuple[str, ...]:
    """Those of one IP version, all when it is None; raises Failed when there is none."""
    if ip_version is None:
        return addresses
    found = tuple(address for address in addresses if (":" in address) == (ip_version == 6))
    if not found:
        raise Failed(Status.DOWN, "no_address", f"{host} has no IPv{ip_version} address")
    return found
