"""Monitors of DNS: one question about one name, and what the records must be.

Two things can be the target. With `resolverServer` it is that nameserver: its silence is the outage. Without, it is the name,
asked of this host's own nameservers, and then their silence must not be taken for the name's: it is the name's fault when
they answer other questions, and unknown when they answer nothing or refuse everything.

The name is asked for as it is given, without search list, hosts file or cache: those belong to this host, not to the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, get_args

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.resolver
import dns.reversename
import trio
from dns.rdata import Rdata
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.TXT import TXT
from msgspec import Meta

from peekaping.engine.fields import Errors, Rule
from peekaping.engine.monitor import Monitor
from peekaping.engine.net.address import is_address
from peekaping.engine.net.failure import Failed, blame
from peekaping.engine.net.nameservers import Nameserver, end_of_aliases, query
from peekaping.engine.net.network import Network
from peekaping.engine.net.trace import WAIT, Trace
from peekaping.engine.probes.probe import Probe
from peekaping.engine.probes.shared import Host, WholeNumber, ascii_host, failed, host_rule, port_rule, up
from peekaping.engine.records import Outcome, Status

RecordType = Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]

FIRST_TRY_S, LONGEST_TRY_S = 1.0, 8.0
"""Datagrams get lost: a nameserver is asked again after a second, then after twice as long each time."""
FIRST_TRY_OF_THE_BUDGET = 0.25
"""What of a short budget the first try takes: it is asked again twice."""
MOST_EXPECTED = 100
LONGEST_LIST = 500
"""How many characters of a list of records a message holds."""


def parse_record(kind: str, text: str) -> Rdata:
    """A record from its presentation; names need no final dot, a TXT no quotes.

    Raises:
      dns.exception.DNSException, ValueError: when it is no record of that kind.
    """
    if kind == "TXT" and not text.startswith('"'):
        # One string may hold 255 bytes, and where a longer text is split is not its reader's concern.
        data = text.encode()
        return TXT(RdataClass.IN, RdataType.TXT, [data[at : at + 255] for at in range(0, max(1, len(data)), 255)])
    return dns.rdata.from_text(RdataClass.IN, kind, text, origin=dns.name.root, relativize=False)


def present(record: Rdata) -> str:
    """A record as people write it: names without the final dot, a TXT as one text without quotes."""
    if isinstance(record, TXT):
        return b"".join(record.strings).decode(errors="backslashreplace")
    return " ".join(word.removesuffix(".") or "." for word in record.to_text().split(" "))


def same(one: Rdata, other: Rdata) -> bool:
    """Whether two records say the same: names without regard to case, as dnspython compares, a TXT however it is split."""
    if isinstance(one, TXT) and isinstance(other, TXT):
        return b"".join(one.strings) == b"".join(other.strings)
    return bool(one == other)


class DnsMonitor(Monitor, frozen=True, kw_only=True, gc=False, rename="camel", tag="dns"):
    """Up when the name has records of the type, all expected ones among them."""

    host: Host
    resolver_server: Annotated[str | None, Meta(description="an IP address")] = None
    port: WholeNumber = 53
    resolve_type: Annotated[RecordType, Meta(description=f"one of {', '.join(get_args(RecordType))}")] = "A"
    expected_values: Annotated[tuple[str, ...], Meta(description="a list of texts")] = ()

    rules: ClassVar[dict[str, Rule]] = {
        **Monitor.rules,
        "host": host_rule,
        "resolver_server": lambda value: None if is_address(value) else "must be an IP address",
        "port": port_rule,
        "expected_values": lambda value: (
            None if len(value) <= MOST_EXPECTED else f"must be at most {MOST_EXPECTED} records"
        ),
    }

    def check_together(self) -> Errors:
        """Expected values that could never be found are refused."""
        errors = dict(super().check_together())
        for value in self.expected_values[:MOST_EXPECTED]:
            try:
                parse_record(self.resolve_type, value)
            except (dns.exception.DNSException, ValueError) as error:
                errors["expectedValues"] = [f"Expected values hold {value!r}, no {self.resolve_type} record: {error}"]
        if is_address(self.host) and self.resolve_type != "PTR":
            errors["host"] = ["Host must be a name; only PTR records are asked for by an address"]
        return errors


class DnsProbe(Probe):
    """A prepared check of one monitor."""

    __slots__ = ("_expected", "_kind", "_name", "_network", "_target")

    def __init__(self, monitor: DnsMonitor, network: Network) -> None:
        host = ascii_host(monitor.host)
        self._name = dns.reversename.from_address(host) if is_address(host) else dns.name.from_text(host)
        self._kind = monitor.resolve_type
        self._expected = [parse_record(self._kind, value) for value in monitor.expected_values]
        server = monitor.resolver_server
        self._target = None if server is None else Nameserver(server, monitor.port)
        self._network = network

    async def __call__(self, trace: Trace) -> Outcome:
        """Check once. Cancelled or not, no socket is left behind."""
        try:
            if self._target is not None:
                self._network.check_egress(self._target.address)
                trace.enter(WAIT)
                answer = await self._ask_target(self._target)
            else:
                answer = await self._network.ask(self._name, RdataType[self._kind])
            return up(self._judge(answer), trace)
        except Failed as failure:
            return failed(failure, trace)

    async def _ask_target(self, server: Nameserver) -> dns.message.Message:
        """The target's answer; waits for it until cancelled. Each question stays open, for an answer that is slow."""
        answers: list[dns.message.Message] = []
        failures: list[Failed] = []

        async def ask() -> None:
            try:
                answers.append(await query(self._name, RdataType[self._kind], server))
            except OSError as error:
                failures.append(blame(error))
            except Failed as failure:
                failures.append(failure)
            except (EOFError, dns.exception.DNSException) as error:
                failures.append(Failed(Status.DOWN, "bad_answer", f"The answer is not valid DNS: {error}"))
            nursery.cancel_scope.cancel()

        left_s = trio.current_effective_deadline() - trio.current_time()
        try_s = max(0.0, min(FIRST_TRY_S, FIRST_TRY_OF_THE_BUDGET * left_s))
        async with trio.open_nursery() as nursery:
            while not answers and not failures:
                nursery.start_soon(ask)
                await trio.sleep(try_s)
                try_s = min(2 * try_s, LONGEST_TRY_S)
        if answers:
            return answers[0]
        raise failures.pop()

    def _judge(self, answer: dns.message.Message) -> str:
        """What to say of a good answer; raises Failed for any other."""
        match answer.rcode():
            case dns.rcode.NOERROR:
                records = list(end_of_aliases(answer, self._name).answer or ())
            case dns.rcode.NXDOMAIN:
                raise Failed(Status.DOWN, "name_not_found", f"The name {self._shown} does not exist")
            case code:
                refusal = dns.rcode.to_text(code)
                raise Failed(
                    Status.DOWN, f"name_{refusal.lower()}", f"The nameserver answered {refusal} for {self._shown}"
                )
        if not records:
            raise Failed(Status.DOWN, "no_records", f"No {self._kind} records found for {self._shown}")
        found = _listed(records)
        missing = [wanted for wanted in self._expected if not any(same(wanted, record) for record in records)]
        if missing:
            message = f"{_listed(missing)} missing among the {self._kind} records: {found}"
            raise Failed(Status.DOWN, "unexpected_records", message)
        return f"{self._kind} records: {found}"

    @property
    def _shown(self) -> str:
        return self._name.to_text(omit_final_dot=True)


def _listed(records: Sequence[Rdata]) -> str:
    shown = ", ".join(sorted(present(record) for record in records))
    return shown if len(shown) <= LONGEST_LIST else f"{shown[:LONGEST_LIST]}… ({len(records)} records)"
