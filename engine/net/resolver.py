"""Names to addresses, by asking this host's nameservers ourselves, on trio, without a thread.

The system's `getaddrinfo` would take a thread for every question, forty at a time, and it does not tell a name whose zone is
broken from a resolver of ours that is gone. A monitor must: the first is the target's outage, the second is nobody's.

- A clear answer counts: a name that does not exist is `down`.
- Anything else is looked into (`nameservers.py`): a name that nameservers fail, refuse or do not answer, while they do answer
  for others, is `down`. When they are of no use for any name, it is `unknown`.

Whoever connects need not wait for the slower address family (RFC 8305, 3), but asks for it again before it judges: what is late
is not absent. Answers are kept for their TTL, at most a minute; many monitors of one name cause one question at a time. The hosts
file comes first, the search list is honoured; both are read again when they change. Not honoured: nsswitch.conf (mDNS, LDAP).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import trio
from dns.rdatatype import RdataType

from peekaping.engine.net.address import of_version
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.host_files import Configuration, read_files, stamp_of_files
from peekaping.engine.net.nameservers import Nameservers, end_of_aliases, is_all_there_is, patience_s
from peekaping.engine.records import Status

LONGEST_TTL_S = 60.0
FAILURE_TTL_S = 1.0
"""A failure is shared by the monitors that wait for it, and hardly longer."""
SECOND_FAMILY_S = 0.05
"""How long the answer of one address family waits for the other's (RFC 8305, 3: 50 ms)."""
LOOK_AT_FILES_EVERY_S = 5.0


class Found(NamedTuple):
    """Addresses of a name, in the order to try them: IPv6 and IPv4 in turn."""

    addresses: tuple[str, ...]
    late: Callable[[], Awaitable[tuple[str, ...]]] | None = None
    """Asks again for the family that was not answered in time, before the name is judged by the other alone; None: these are all.

    Gives nothing as well when the nameservers fail in that family alone; raises Failed when it cannot be found out.
    """

    async def all(self) -> tuple[str, ...]:
        """The addresses of both families, however long either takes."""
        return self.addresses if self.late is None else (*self.addresses, *await self.late())


Question = tuple[str, int | None]
"""A name in lower case, and the IP version when only one is asked for."""
KINDS: dict[int | None, tuple[RdataType, ...]] = {
    None: (RdataType.AAAA, RdataType.A),
    6: (RdataType.AAAA,),
    4: (RdataType.A,),
}
VERSIONS = {RdataType.AAAA: 6, RdataType.A: 4}


class _Flight:
    """A question on its way, and what came of it."""

    def __init__(self) -> None:
        self.deadline = trio.current_effective_deadline()
        self.patience_s = patience_s()
        self.landed = trio.Event()
        self.found: Found | Failed | None = None
        """None while it is on its way, and when it was cancelled."""


class _Kept(NamedTuple):
    until: float
    found: Found | Failed


class Resolver:
    """Asks and remembers. `read` gives the configuration; it is called again when `stamp` changes."""

    def __init__(self, read: Callable[[], Configuration], stamp: Callable[[], object] = lambda: None) -> None:
        self._read = read
        self._stamp = stamp
        self._stamped = stamp()
        self._configuration = read()
        self._look_again = float("-inf")
        self._kept: dict[Question, _Kept] = {}
        self._flights: dict[Question, _Flight] = {}
        self._nameservers = Nameservers(lambda: self._configuration.nameservers)

    @classmethod
    def of_this_host(cls) -> Resolver:
        """A resolver that goes by /etc/resolv.conf and /etc/hosts."""
        return cls(read_files, stamp_of_files)

    async def ask(self, name: dns.name.Name, kind: RdataType) -> dns.message.Message:
        """See `Nameservers.ask`: a name as it is, without search list, hosts file and what is kept."""
        self._look_at_files()
        return await self._nameservers.ask(name, kind)

    async def find(self, name: str, ip_version: int | None = None) -> Found:
        """The addresses of a name (as A-labels). `ip_version` is 4, 6 or None for both.

        A name that ends with a dot is looked for as it is, without the search list.

        Raises:
          Failed: DOWN for what is the name's fault, UNKNOWN when the nameservers are of no use for any name.
        """
        self._look_at_files()
        key = (name.lower(), ip_version)
        if (known := _local(name.lower().rstrip("."), self._configuration.hosts)) is not None:
            return Found(of_version(known, ip_version, name))
        while True:
            kept = self._kept.get(key)
            if kept is not None and kept.until > trio.current_time():
                return _given(kept.found)
            flight = self._flights.get(key)
            if flight is None or flight.deadline > trio.current_effective_deadline():  # it may land too late
                return _given(await self._fly(key))
            await flight.landed.wait()
            if flight.found is not None and not _is_hasty(flight):
                return _given(flight.found)

    async def _find_late(self, name: dns.name.Name, kind: RdataType) -> tuple[str, ...]:
        try:
            return (await self.find(name.to_text(), VERSIONS[kind])).addresses
        except Failed as failure:
            if failure.status is Status.UNKNOWN:
                raise
            return ()

    async def _fly(self, key: Question) -> Found | Failed:
        """Ask, for everybody who waits for this name."""
        flight = self._flights[key] = _Flight()
        try:
            try:
                flight.found, ttl = await self._search(*key)
            except Failed as failure:
                flight.found, ttl = failure.with_traceback(None), FAILURE_TTL_S  # it holds this frame
            if not _is_silence(flight.found) or is_all_there_is(flight.patience_s):
                if len(self._kept) >= 100_000:
                    self._kept.clear()  # names come from monitors, so this is for the absurd
                self._kept[key] = _Kept(trio.current_time() + min(ttl, LONGEST_TTL_S), flight.found)
            return flight.found
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.landed.set()

    async def _search(self, name: str, ip_version: int | None) -> tuple[Found, float]:
        """The first candidate that has addresses, else what is to be said of the name as it stands."""
        try:
            absolute = dns.name.from_text(name)
        except dns.exception.DNSException as error:
            raise Failed(Status.DOWN, "name_not_found", f"{name} is no name that can exist: {error}") from error
        verdict: Failed | None = None
        for candidate in self._candidates(absolute, name):
            try:
                return await self._families(candidate, KINDS[ip_version])
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

    async def _families(self, name: dns.name.Name, kinds: Sequence[RdataType]) -> tuple[Found, float]:
        """Ask for all families at once, and do not let the slower one hold up the other."""
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
                for kind in kinds:
                    nursery.start_soon(ask, kind)
            addresses = _in_turn(found.get(RdataType.AAAA, []), found.get(RdataType.A, []))
            if addresses:
                late = next((partial(self._find_late, name, kind) for kind in kinds if kind not in found), None)
                return Found(tuple(address for address, _ in addresses), late), min(ttl for _, ttl in addresses)
            if failures:  # a family that nobody could ask for may have addresses, whatever is wrong with the other
                raise next((failure for failure in failures if failure.status is Status.UNKNOWN), failures[0])
        finally:
            failures.clear()  # or the exception holds this frame, which holds the exception
        family = f"IPv{VERSIONS[kinds[0]]} address" if len(kinds) == 1 else "address"
        raise Failed(Status.DOWN, "no_address", f"The name {_shown(name)} has no {family}")

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


def _given(found: Found | Failed) -> Found:
    if isinstance(found, Failed):  # raised as a new one: one that is raised twice gathers both tracebacks
        raise Failed(found.status, found.reason, found.message)
    return found


def _is_silence(found: Found | Failed | None) -> bool:
    return isinstance(found, Failed) and found.reason in ("name_silent", "resolver_silent")


def _is_hasty(flight: _Flight) -> bool:
    """Whether who asked gave up sooner than the present caller would have."""
    return _is_silence(flight.found) and patience_s() > 2 * flight.patience_s


def _addresses_in(answer: dns.message.Message, name: dns.name.Name) -> list[tuple[str, float]]:
    found = end_of_aliases(answer, name)
    return [(record.to_text(), float(found.minimum_ttl)) for record in found.answer or ()]


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
