"""Names to addresses, by asking this host's nameservers ourselves, on trio, without a thread.

The system's `getaddrinfo` would take a thread for every question, forty at a time, and it does not tell a name whose zone is
broken from a resolver of ours that is gone. A monitor must: the first is the target's outage, the second is nobody's.

- A clear answer counts: a name that does not exist is `down`.
- Anything else is looked into (`nameservers.py`): a name that nameservers fail, refuse or do not answer, while they do answer
  for others, is `down`. When they are of no use for any name, it is `unknown`.

Answers are kept for their TTL, at most a minute; many monitors of one name cause one question at a time. The hosts file comes
first, the search list is honoured; both files are read again when they change. Not honoured: nsswitch.conf (mDNS, LDAP).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
import trio
from dns.rdatatype import RdataType

from peekaping.engine.net.failure import Failed
from peekaping.engine.net.nameservers import Nameserver, Nameservers, is_all_there_is, patience_s
from peekaping.engine.records import Status

MOST_NAMESERVERS = 3
"""As many as glibc asks (MAXNS in resolv.h)."""
LONGEST_TTL_S = 60.0
FAILURE_TTL_S = 1.0
"""A failure is shared by the monitors that wait for it, and hardly longer."""
SECOND_FAMILY_S = 0.05
"""How long the answer of one address family waits for the other's (RFC 8305, 3: 50 ms)."""
LOOK_AT_FILES_EVERY_S = 5.0


class Configuration(NamedTuple):
    """What resolv.conf and the hosts file say."""

    nameservers: tuple[Nameserver, ...]
    search: tuple[dns.name.Name, ...] = ()
    ndots: int = 1
    hosts: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 (never written to)


class _Flight:
    """A question on its way, and what came of it."""

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self.landed = trio.Event()
        self.found: tuple[str, ...] | Failed | None = None
        """None while it is on its way, and when it was cancelled."""


class _Kept(NamedTuple):
    until: float
    found: tuple[str, ...] | Failed


class Resolver:
    """Asks and remembers. `read` gives the configuration; it is called again when `stamp` changes."""

    def __init__(self, read: Callable[[], Configuration], stamp: Callable[[], object] = lambda: None) -> None:
        self._read = read
        self._stamp = stamp
        self._stamped = stamp()
        self._configuration = read()
        self._look_again = float("-inf")
        self._kept: dict[str, _Kept] = {}
        self._flights: dict[str, _Flight] = {}
        self._nameservers = Nameservers(lambda: self._configuration.nameservers)

    @classmethod
    def of_this_host(cls) -> Resolver:
        """A resolver that goes by /etc/resolv.conf and /etc/hosts."""
        return cls(_read_files, _stamp_of_files)

    async def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a name (as A-labels), in the order to try them: IPv6 and IPv4 in turn.

        A name that ends with a dot is looked for as it is, without the search list.

        Raises:
          Failed: DOWN for what is the name's fault, UNKNOWN when the nameservers are of no use for any name.
        """
        self._look_at_files()
        key = name.lower()
        if (known := _local(key.rstrip("."), self._configuration.hosts)) is not None:
            return known
        while True:
            kept = self._kept.get(key)
            if kept is not None and kept.until > trio.current_time():
                return _given(kept.found)
            flight = self._flights.get(key)
            if flight is None:
                return _given(await self._fly(key))
            await flight.landed.wait()
            if flight.found is not None and not _is_hasty(flight):
                return _given(flight.found)

    async def _fly(self, name: str) -> tuple[str, ...] | Failed:
        """Ask, for everybody who waits for this name."""
        flight = self._flights[name] = _Flight(patience_s())
        try:
            try:
                flight.found, ttl = await self._search(name)
            except Failed as failure:
                flight.found, ttl = failure.with_traceback(None), FAILURE_TTL_S  # it holds this frame
            if not _is_silence(flight.found) or is_all_there_is(flight.patience_s):
                if len(self._kept) >= 100_000:
                    self._kept.clear()  # names come from monitors, so this is for the absurd
                self._kept[name] = _Kept(trio.current_time() + min(ttl, LONGEST_TTL_S), flight.found)
            return flight.found
        finally:
            del self._flights[name]
            flight.landed.set()

    async def _search(self, name: str) -> tuple[tuple[str, ...], float]:
        """The first candidate that has addresses, else what is to be said of the name as it stands."""
        try:
            absolute = dns.name.from_text(name)
        except dns.exception.DNSException as error:
            raise Failed(Status.DOWN, "name_not_found", f"{name} is no name that can exist: {error}") from error
        verdict: Failed | None = None
        for candidate in self._candidates(absolute, name):
            try:
                return await self._both_families(candidate)
            except Failed as failure:
                if failure.status is Status.UNKNOWN:
                    raise  # the nameservers answer nothing: nor will they for the next
                if candidate == absolute or verdict is None:
                    verdict = failure
        assert verdict is not None, "there is at least one candidate"
        try:
            raise verdict
        finally:
            verdict = None  # or the exception holds this frame, which holds the exception

    def _candidates(self, absolute: dns.name.Name, name: str) -> list[dns.name.Name]:
        if name.endswith("."):
            return [absolute]
        relative = absolute.relativize(dns.name.root)
        searched = [relative.derelativize(domain) for domain in self._configuration.search]
        return [absolute, *searched] if name.count(".") >= self._configuration.ndots else [*searched, absolute]

    async def _both_families(self, name: dns.name.Name) -> tuple[tuple[str, ...], float]:
        """Ask for IPv6 and IPv4 at once, and do not let the slower one hold up the other."""
        found: dict[RdataType, list[tuple[str, float]]] = {}
        failures: list[Failed] = []

        async def ask(kind: RdataType) -> None:
            try:
                answer = await self._nameservers.ask(name, kind)
                if answer.rcode() == dns.rcode.NXDOMAIN:
                    raise Failed(Status.DOWN, "name_not_found", f"The name {_shown(name)} does not exist")
                found[kind] = _addresses_in(answer, name)
            except Failed as failure:
                failures.append(failure)
            if found.get(kind):
                nursery.cancel_scope.deadline = trio.current_time() + SECOND_FAMILY_S

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, RdataType.AAAA)
                nursery.start_soon(ask, RdataType.A)
            addresses = _in_turn(found.get(RdataType.AAAA, []), found.get(RdataType.A, []))
            if addresses:
                return tuple(address for address, _ in addresses), min(ttl for _, ttl in addresses)
            if failures:
                raise failures[0]
        finally:
            failures.clear()  # or the exception holds this frame, which holds the exception
        raise Failed(Status.DOWN, "no_address", f"The name {_shown(name)} has no address")

    def _look_at_files(self) -> None:
        now = trio.current_time()
        if now < self._look_again:
            return
        self._look_again = now + LOOK_AT_FILES_EVERY_S
        stamp = self._stamp()
        if stamp != self._stamped:
            self._configuration = self._read()
            self._stamped = stamp
            self._kept.clear()


def _given(found: tuple[str, ...] | Failed) -> tuple[str, ...]:
    if isinstance(found, Failed):  # raised as a new one: one that is raised twice gathers both tracebacks
        raise Failed(found.status, found.reason, found.message)
    return found


def _is_silence(found: tuple[str, ...] | Failed | None) -> bool:
    return isinstance(found, Failed) and found.reason in ("name_silent", "resolver_silent")


def _is_hasty(flight: _Flight) -> bool:
    """Whether who asked gave up sooner than the present caller would have."""
    return _is_silence(flight.found) and patience_s() > 2 * flight.patience_s


def _addresses_in(answer: dns.message.Message, name: dns.name.Name) -> list[tuple[str, float]]:
    try:
        assert isinstance(answer, dns.message.QueryMessage), "the answer to a query"
        chain = answer.resolve_chaining()
    except dns.exception.DNSException as error:  # a loop of CNAMEs, or one that is endless
        raise Failed(Status.DOWN, "name_loop", f"The aliases of {_shown(name)} lead nowhere: {error}") from error
    if chain.answer is None:
        return []
    return [(record.to_text(), float(chain.minimum_ttl)) for record in chain.answer]


def _in_turn(first: Sequence[tuple[str, float]], second: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """RFC 8305, 4: alternate between the families, IPv6 first."""
    order = {
        **{item: 2 * place for place, item in enumerate(first)},
        **{item: 2 * place + 1 for place, item in enumerate(second)},
    }
    return sorted(order, key=order.__getitem__)


def _local(name: str, hosts: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """What needs no question: the hosts file, and localhost (RFC 6761, 6.3)."""
    if name in hosts:
        return hosts[name]
    return ("127.0.0.1", "::1") if name == "localhost" or name.endswith(".localhost") else None


def _shown(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


_RESOLV_CONF, _HOSTS = "/etc/resolv.conf", "/etc/hosts"


def _stamp_of_files() -> tuple[object, ...]:
    stamps: list[object] = []
    for path in (_RESOLV_CONF, _HOSTS):
        try:
            status = os.stat(path)
            stamps.append((status.st_mtime_ns, status.st_ino, status.st_size))
        except OSError:
            stamps.append(None)
    return tuple(stamps)


def _read_files() -> Configuration:
    configured = read_resolv_conf(_RESOLV_CONF)
    try:
        with open(_HOSTS, encoding="utf-8", errors="replace") as lines:
            hosts = parse_hosts(lines)
    except OSError:
        hosts = {}
    return configured._replace(hosts=hosts)


def read_resolv_conf(path: str = _RESOLV_CONF) -> Configuration:
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


@lru_cache(maxsize=10_000)
def is_address(host: str) -> bool:
    """Whether this is an IP address, which needs no resolver."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def parse_hosts(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """A hosts file: an address and its names on each line, # begins a comment (hosts(5))."""
    hosts: dict[str, tuple[str, ...]] = {}
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        for name in names if is_address(address) else ():
            hosts[name.lower()] = (*hosts.get(name.lower(), ()), address)
    return hosts
