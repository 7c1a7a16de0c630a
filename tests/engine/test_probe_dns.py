"""DNS: what a nameserver must answer, and whose fault its silence is. Real nameservers on loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import pytest
import trio
from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from peekaping.engine.errors import Invalid
from peekaping.engine.net import nameservers
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.host_files import Configuration
from peekaping.engine.net.nameservers import Nameserver
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.resolver import Resolver
from peekaping.engine.net.trace import RESOLVE, WAIT, Trace
from peekaping.engine.probes import dns as dns_probe
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.dns import DnsMonitor, DnsProbe
from peekaping.engine.records import Outcome, Status

from .nameserver import Zone, nameserver, told, truncating, zone
from .sites import losing, slow, this_host
from .targets import reset_at_once, serving
from .test_network import descriptors, free_port

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
DATA = {"type": "dns", "name": "x", "host": "site"}
SERVFAIL, REFUSED = dns.rcode.SERVFAIL, dns.rcode.REFUSED


@pytest.fixture(name="short_tries")
def _short_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is believed at once; too soon for a busy machine to be told from it, so for tests of silence alone."""
    monkeypatch.setattr(dns_probe, "FIRST_TRY_S", 0.05)
    monkeypatch.setattr(nameservers, "HEAD_STARTS_S", (0.05, 0.05))
    monkeypatch.setattr(nameservers, "PATIENCE_S", 0.2)
    monkeypatch.setattr(nameservers, "CONTROL_WITHIN_S", 0.2)


def monitor_of(**fields: Any) -> DnsMonitor:
    monitor = parse_monitor({**DATA, **fields}, min_interval_ms=1000)
    assert isinstance(monitor, DnsMonitor)
    return monitor


async def ask(server: Nameserver, *, trace: Trace | None = None, **fields: Any) -> Outcome:
    """Check a nameserver."""
    monitor = monitor_of(resolverServer=server.address, port=server.port, **fields)
    with trio.fail_after(10):
        return await DnsProbe(monitor, HostNetwork(EgressGuard()))(trace or Trace())


async def ask_ours(servers: Sequence[Nameserver], *, trace: Trace | None = None, **fields: Any) -> Outcome:
    """Check a name, with these as this host's nameservers."""
    with trio.fail_after(10):
        return await DnsProbe(monitor_of(**fields), this_host(*servers))(trace or Trace())


RECORDS: dict[str, list[str]] = {
    "A": ["A 192.0.2.2", "A 192.0.2.1"],
    "AAAA": ["AAAA 2001:db8::1"],
    "CAA": ['CAA 0 issue "letsencrypt.org"'],
    "CNAME": ["CNAME Other.Example."],
    "MX": ["MX 20 b.example.", "MX 10 a.example."],
    "NS": ["NS ns.example."],
    "PTR": ["PTR host.example."],
    "SOA": ["SOA ns.example. admin.example. 1 7200 900 1209600 300"],
    "SRV": ["SRV 0 5 5060 sip.example."],
    "TXT": ['TXT "v=spf1 " "-all"'],
}
ALIASED: dict[str, Any] = {"Other.Example": ["A 192.0.2.3"]}
SHOWN = {
    "A": "192.0.2.1, 192.0.2.2",
    "AAAA": "2001:db8::1",
    "CAA": '0 issue "letsencrypt.org"',
    "CNAME": "Other.Example",
    "MX": "10 a.example, 20 b.example",
    "NS": "ns.example",
    "PTR": "host.example",
    "SOA": "ns.example admin.example 1 7200 900 1209600 300",
    "SRV": "0 5 5060 sip.example",
    "TXT": "v=spf1 -all",
}


@pytest.mark.parametrize("kind", RECORDS)
async def test_records_of_each_type_are_listed(kind: str) -> None:
    async with nameserver(zone(site=RECORDS[kind], **ALIASED)) as (server, asked):
        outcome = await ask(server, resolveType=kind)
    assert (outcome.status, outcome.message) == (UP, f"{kind} records: {SHOWN[kind]}")
    assert asked == [f"udp site {kind}"]
    assert outcome.phases is not None
    assert outcome.phases.wait_us is not None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("A", ["192.0.2.1"]),
        ("A", ["192.0.2.2", "192.0.2.1"]),
        ("AAAA", ["2001:0DB8:0::1"]),
        ("CAA", ["0 issue letsencrypt.org"]),
        ("CNAME", ["other.example"]),
        ("CNAME", ["OTHER.example."]),
        ("MX", ["10 A.Example"]),
        ("NS", ["ns.example."]),
        ("SRV", ["0 5 5060 SIP.example"]),
        ("SOA", ["ns.example. admin.example. 1 7200 900 1209600 300"]),
        ("TXT", ["v=spf1 -all"]),
        ("TXT", ['"v=spf1 -all"']),
    ],
)
async def test_expected_values_that_are_there(kind: str, expected: list[str]) -> None:
    async with nameserver(zone(site=RECORDS[kind], **ALIASED)) as (server, _):
        assert (await ask(server, resolveType=kind, expectedValues=expected)).status is UP


async def test_texts_of_any_length_are_compared_as_one() -> None:
    long = "x" * 255 + "y" * 100
    async with nameserver(zone(site=[f'TXT "{long[:100]}" "{long[100:]}"', 'TXT ""'])) as (server, _):
        assert (await ask(server, resolveType="TXT", expectedValues=[long, ""])).status is UP


@pytest.mark.parametrize(
    ("kind", "expected", "missing"),
    [
        ("A", ["192.0.2.1", "192.0.2.3"], "192.0.2.3"),
        ("MX", ["20 a.example"], "20 a.example"),
        ("TXT", ["V=spf1 -all"], "V=spf1 -all"),
        ("TXT", ["v=spf1"], "v=spf1"),
    ],
)
async def test_expected_values_that_are_missing(kind: str, expected: list[str], missing: str) -> None:
    async with nameserver(zone(site=RECORDS[kind], **ALIASED)) as (server, _):
        outcome = await ask(server, resolveType=kind, expectedValues=expected)
    assert (outcome.status, outcome.reason) == (DOWN, "unexpected_records")
    assert outcome.message == f"{missing} missing among the {kind} records: {SHOWN[kind]}"


async def test_addresses_that_differ_in_what_would_be_a_letters_case_are_different() -> None:
    async with nameserver(zone(site=["A 10.65.66.67"])) as (server, _):  # ABC, as bytes
        assert (await ask(server, expectedValues=["10.97.98.99"])).reason == "unexpected_records"


async def test_an_alias_leads_to_the_records() -> None:
    records: dict[str, Any] = {"site": ["CNAME other."], "other": ["A 192.0.2.9"]}
    async with nameserver(zone(**records)) as (server, _):
        assert (await ask(server)).message == "A records: 192.0.2.9"


async def test_an_address_is_asked_for_in_reverse() -> None:
    records: dict[str, Any] = {"1.2.0.192.in-addr.arpa": ["PTR host.example."]}
    async with nameserver(zone(**records)) as (server, _):
        outcome = await ask(server, host="192.0.2.1", resolveType="PTR", expectedValues=["host.example"])
    assert outcome.status is UP


@pytest.mark.parametrize(
    ("name", "answer", "reason"),
    [
        ("NXDOMAIN", zone(), "name_not_found"),
        ("SERVFAIL", zone(site=SERVFAIL), "name_servfail"),
        ("REFUSED", zone(site=REFUSED), "name_refused"),
        ("no record of the type", zone(site=["MX 10 a."]), "no_records"),
        ("an alias that leads nowhere", zone(site=["CNAME site."]), "name_loop"),
    ],
)
async def test_no_good_answer_is_down_whoever_was_asked(name: str, answer: Zone, reason: str) -> None:
    async with nameserver(answer) as (server, _):
        of_the_server = await ask(server)
        of_the_name = await ask_ours([server])
    assert (of_the_server.status, of_the_server.reason) == (DOWN, reason)
    assert (of_the_name.status, of_the_name.reason) == (DOWN, reason)


async def test_an_answer_too_large_for_a_datagram_is_fetched_by_tcp() -> None:
    async with nameserver(zone(site=[f"TXT {'x' * 200}{n}" for n in range(20)]), truncate_udp=True) as (server, asked):
        outcome = await ask(server, resolveType="TXT")
    assert outcome.status is UP
    assert len(outcome.message) < 600
    assert outcome.message.endswith("… (20 records)")
    assert asked == ["udp site TXT", "tcp site TXT"]


async def test_when_tcp_is_refused_the_truncated_answer_is_the_servers_fault() -> None:
    async with truncating(free_port()) as server:
        outcome = await ask(server)
    assert (outcome.status, outcome.reason) == (DOWN, "connection_refused")


# The server as the target


@pytest.mark.usefixtures("short_tries")
async def test_a_lost_datagram_is_sent_again() -> None:
    answers = iter([None, None])
    good = zone(site=["A 192.0.2.1"])
    async with nameserver(lambda question: next(answers, good(question))) as (server, asked):
        assert (await ask(server)).status is UP
    assert len(asked) >= 3


@pytest.fixture(name="scripted")
def _scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Zone], None]:
    """The target answers as the zone says, in virtual time."""

    def script(answer: Zone) -> None:
        async def query(name: dns.name.Name, kind: RdataType, server: Nameserver) -> dns.message.Message:
            return await told(answer, dns.message.make_query(name, kind))

        monkeypatch.setattr(dns_probe, "query", query)

    return script


@pytest.mark.parametrize("timeout_s", [0.1, 1.0, 5.0])
async def test_two_datagrams_may_get_lost_in_any_budget(
    timeout_s: float, scripted: Callable[[Zone], None], autojump_clock: MockClock
) -> None:
    scripted(losing(2, zone(site=["A 192.0.2.1"])))
    with trio.fail_after(timeout_s):
        assert (await ask(Nameserver("192.0.2.53"))).status is UP


@pytest.mark.parametrize("timeout_s", [0.1, 1.0, 5.0])
async def test_an_answer_that_takes_most_of_the_budget_is_an_answer(
    timeout_s: float, scripted: Callable[[Zone], None], autojump_clock: MockClock
) -> None:
    scripted(slow(zone(site=["A 192.0.2.1"]), 0.9 * timeout_s))
    with trio.fail_after(timeout_s):
        assert (await ask(Nameserver("192.0.2.53"))).status is UP


async def test_a_server_that_resets_when_it_is_asked_by_tcp_is_down() -> None:
    async with serving(reset_at_once) as port, truncating(port) as server:
        outcome = await ask(server)
    assert (outcome.status, outcome.reason) == (DOWN, "connection_reset")


@pytest.mark.usefixtures("short_tries")
async def test_datagrams_that_are_no_answer_are_passed_over() -> None:
    def of_another_question(question: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(question)
        response.id = question.id ^ 1
        return response

    good = zone(site=["A 192.0.2.1"])
    answers = iter([of_another_question])
    async with nameserver(lambda question: next(answers, good)(question)) as (server, asked):
        assert (await ask(server)).status is UP
    assert len(asked) >= 2


@pytest.mark.usefixtures("short_tries")
async def test_a_silent_server_is_waited_for_until_time_is_up_and_then_down() -> None:
    trace = Trace()
    async with nameserver(zone(site=None)) as (server, asked):
        with trio.move_on_after(0.6) as scope:
            await ask(server, trace=trace)
    assert scope.cancelled_caught
    assert trace.phase == WAIT, "in this phase a timeout is down"
    assert len(asked) > 1


async def test_a_denied_server_is_unknown() -> None:
    outcome = await ask(Nameserver("169.254.169.254"))
    assert (outcome.status, outcome.reason) == (UNKNOWN, "egress_denied")


# The name as the target


@pytest.mark.usefixtures("short_tries")
async def test_silence_about_one_name_alone_is_the_names_fault() -> None:
    async with nameserver(zone(site=None)) as (server, _):
        outcome = await ask_ours([server])
    assert (outcome.status, outcome.reason) == (DOWN, "name_silent")


@pytest.mark.usefixtures("short_tries")
async def test_silence_about_everything_is_nobodys_fault() -> None:
    async with nameserver(lambda question: None) as (server, _):
        outcome = await ask_ours([server, Nameserver("127.0.0.1", free_port())])
    assert (outcome.status, outcome.reason) == (UNKNOWN, "resolver_silent")


async def test_a_dead_or_refusing_server_does_not_keep_the_next_from_being_asked() -> None:
    async with nameserver(zone(site=SERVFAIL)) as (bad, _), nameserver(zone(site=["A 192.0.2.1"])) as (good, asked):
        outcome = await ask_ours([Nameserver("127.0.0.1", free_port()), bad, good])
    assert outcome.status is UP
    assert asked == ["udp site A"]


@pytest.mark.usefixtures("short_tries")
async def test_a_refusal_says_more_than_silence() -> None:
    async with nameserver(zone(site=REFUSED)) as (refusing, _):
        for servers in (
            [refusing, Nameserver("127.0.0.1", free_port())],
            [Nameserver("127.0.0.1", free_port()), refusing],
        ):
            outcome = await ask_ours(servers)
            assert (outcome.status, outcome.reason) == (DOWN, "name_refused")


async def test_this_hosts_nameservers_are_not_subject_to_the_guard() -> None:
    async with nameserver(zone(site=["A 192.0.2.1"])) as (server, _):  # some clouds' are link-local
        network = HostNetwork(EgressGuard(["127.0.0.0/8"]), Resolver(lambda: Configuration((server,))))
        assert (await DnsProbe(monitor_of(), network)(Trace())).status is UP


async def test_whose_fault_it_is_is_known_before_time_is_up() -> None:
    trace = Trace()
    async with nameserver(zone(site=None)) as (server, _):
        with trio.fail_after(1):
            outcome = await ask_ours([server], trace=trace)
    assert outcome.reason == "name_silent"
    assert trace.phase == RESOLVE, "in this phase a timeout is unknown"


# Fields


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"host": None}, "host", "is required"),
        ({"host": "a b"}, "host", "can exist"),
        ({"host": "192.0.2.1"}, "host", "only PTR"),
        ({"resolverServer": "dns.example"}, "resolverServer", "must be an IP address"),
        ({"port": 0}, "port", "between 1 and 65535"),
        ({"resolveType": "ANY"}, "resolveType", "one of A, AAAA, CAA"),
        ({"resolveType": "a"}, "resolveType", "one of A, AAAA, CAA"),
        ({"expectedValues": ["192.0.2.300"]}, "expectedValues", "'192.0.2.300', no A record"),
        ({"resolveType": "MX", "expectedValues": ["a.example"]}, "expectedValues", "no MX record"),
        ({"resolveType": "TXT", "expectedValues": ['"open']}, "expectedValues", "no TXT record"),
        ({"resolveType": "TXT", "expectedValues": ["\ud800"]}, "expectedValues", "UTF-8"),
        ({"expectedValues": "192.0.2.1"}, "expectedValues", "a list of texts"),
        ({"expectedValues": ["192.0.2.1"] * 101}, "expectedValues", "at most 100"),
    ],
)
def test_a_wrong_field_is_refused(fields: dict[str, Any], field: str, part: str) -> None:
    with pytest.raises(Invalid) as caught:
        monitor_of(**fields)
    assert part in caught.value.errors[field][0]


hosts = st.text(max_size=300) | st.from_regex(r"([a-zé_-]{1,70}\.){0,5}[a-z0-9]{0,70}", fullmatch=True)
values = st.text(max_size=30) | st.from_regex(r"[0-9a-f:.]{1,20}|\d{1,6} [\w.]{1,20}|\"[^\"]*\"?", fullmatch=True)


@given(hosts, st.sampled_from(list(RECORDS)), st.lists(values, max_size=2))
def test_what_is_saved_can_be_asked(host: str, kind: str, expected: list[str]) -> None:
    try:
        monitor = monitor_of(host=host, resolveType=kind, expectedValues=expected)
    except Invalid:
        return
    DnsProbe(monitor, HostNetwork(EgressGuard()))


# Cancellation


async def test_cancelled_at_any_wait_no_socket_is_left() -> None:
    with socket.socket() as hanging, socket.socket(type=socket.SOCK_DGRAM) as truncating:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        port = hanging.getsockname()[1]
        truncating.bind(("127.0.0.1", port))

        async def truncate() -> None:
            while True:
                await trio.lowlevel.wait_readable(truncating)
                wire, peer = truncating.recvfrom(512)
                response = dns.message.make_response(dns.message.from_wire(wire))
                response.flags |= dns.flags.TC
                truncating.sendto(response.to_wire(), peer)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(truncate)
            async with nameserver(lambda question: 10.0) as (silent, _):
                for server in (silent, Nameserver("127.0.0.1", port)):  # waiting for a datagram, for TCP's answer
                    for check in (partial(ask, server), partial(ask_ours, [server])):
                        await trio.testing.wait_all_tasks_blocked()
                        before = descriptors()
                        async with trio.open_nursery() as checking:
                            checking.start_soon(check)
                            await trio.sleep(0.05)
                            assert descriptors() > before, "it is waiting"
                            checking.cancel_scope.cancel()
                        assert descriptors() == before
            nursery.cancel_scope.cancel()
