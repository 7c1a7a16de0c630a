"""How this host is told to find names: /etc/resolv.conf and /etc/hosts."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import NamedTuple

import dns.exception
import dns.name
import dns.resolver

from peekaping.engine.net.address import is_address
from peekaping.engine.net.nameservers import Nameserver

RESOLV_CONF, HOSTS = "/etc/resolv.conf", "/etc/hosts"
MOST_NAMESERVERS = 3
"""As many as glibc asks (MAXNS in resolv.h)."""


class Configuration(NamedTuple):
    """What resolv.conf and the hosts file say."""

    nameservers: tuple[Nameserver, ...]
    search: tuple[dns.name.Name, ...] = ()
    ndots: int = 1
    hosts: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 (never written to)


def stamp_of_files() -> tuple[object, ...]:
    """Another value whenever the files are others."""
    stamps: list[object] = []
    for path in (RESOLV_CONF, HOSTS):
        try:
            status = os.stat(path)
            stamps.append((status.st_mtime_ns, status.st_ino, status.st_size))
        except OSError:
            stamps.append(None)
    return tuple(stamps)


def read_files() -> Configuration:
    """What both files say at present."""
    configured = read_resolv_conf(RESOLV_CONF)
    try:
        with open(HOSTS, encoding="utf-8", errors="replace") as lines:
            hosts = parse_hosts(lines)
    except OSError:
        hosts = {}
    return configured._replace(hosts=hosts)


def read_resolv_conf(path: str) -> Configuration:
    """What resolv.conf(5) says. As glibc does, pass over what cannot be understood; without the file ask this host itself."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if "\ufffd" not in line and not _names_no_address(line)]
        configured = dns.resolver.Resolver(io.StringIO("".join(lines)))
    except (OSError, ValueError, dns.exception.DNSException):
        return Configuration((Nameserver("127.0.0.1"),))
    servers = tuple(Nameserver(str(server)) for server in configured.nameservers[:MOST_NAMESERVERS])
    search = tuple(configured.search) or ((configured.domain,) if configured.domain != dns.name.root else ())
    return Configuration(servers, search, configured.ndots or 1)


def _names_no_address(line: str) -> bool:
    words = line.split()
    return words[:1] == ["nameserver"] and not (len(words) > 1 and is_address(words[1]))


def parse_hosts(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """A hosts file: an address and its names on each line, # begins a comment (hosts(5))."""
    hosts: dict[str, tuple[str, ...]] = {}
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        for name in names if is_address(address) else ():
            hosts[name.lower()] = (*hosts.get(name.lower(), ()), address)
    return hosts
