"""TCP ports: what is said, what is expected, in whatever pieces it comes, and nothing left behind."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trustme

from peekaping.engine.errors import Invalid
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.host_files import Configuration
from peekaping.engine.net.network import HostNetwork, Network
from peekaping.engine.net.resolver import Resolver
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.tcp import MOST_READ, TcpMonitor, TcpProbe, unescape
from peekaping.engine.records import Outcome, Status

from .scripted import ScriptedNetwork, Step
from .test_network import Handler, descriptors, free_port, serving, silence

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
DATA = {"type": "tcp", "name": "x", "host": "site", "port": 25}


async def probe(network: Network, **fields: Any) -> Outcome:
    monitor = parse_monitor({**DATA, **fields}, min_interval_ms=1000)
    assert isinstance(monitor, TcpMonitor)
    return await TcpProbe(monitor, network)(Trace())


async def over_loopback(port: int, **fields: Any) -> Outcome:
    with trio.fail_after(10):
        return await probe(HostNetwork(EgressGuard()), **{"host": "127.0.0.1", "port": port, **fields})


async def test_an_open_port_is_up() -> None:
    async with serving(silence) as port:
        outcome = await over_loopback(port)
    assert (outcome.status, outcome.message) == (UP, f"TCP port {port} is open")
    assert outcome.phases is not None
    assert outcome.phases.connect_us is not None


async def test_a_closed_port_is_down() -> None:
    outcome = await over_loopback(free_port())
    assert (outcome.status, outcome.reason) == (DOWN, "connection_refused")


async def test_a_denied_address_is_unknown() -> None:
    outcome = await over_loopback(80, host="169.254.169.254")
    assert (outcome.status, outcome.reason) == (UNKNOWN, "egress_denied")


async def test_the_address_family_can_be_chosen() -> None:
    resolver = Resolver(lambda: Configuration((), hosts={"site": ("127.0.0.1", "::1")}))
    network = HostNetwork(EgressGuard(), resolver)
    async with serving(silence, "::1") as port:
        assert (await probe(network, port=port)).status is UP
        assert (await probe(network, port=port, ipVersion=6)).status is UP
        assert (await probe(network, port=port, ipVersion=4)).reason == "connection_refused"
        assert (await probe(network, port=port, host="127.0.0.1", ipVersion=6)).reason == "no_address"


GREETING = b"220 mail.example ESMTP\r\n"
BROKEN = Failed(DOWN, "connection_reset", "reset")


@pytest.mark.parametrize(
    ("name", "steps", "expect", "status", "reason"),
    [
        ("at once", [GREETING], "220 ", UP, None),
        ("in single bytes", [GREETING[i : i + 1] for i in range(len(GREETING))], "ESMTP", UP, None),
        ("over three pieces", [b"xab", b"a", b"bc"], "ababc", UP, None),
        ("after much else", [b"y" * 30_000, b"y" * 30_000, b"\x00\xffz"], r"\x00\xff", UP, None),
        ("as the last bytes read", [b"y" * (MOST_READ - 1), b"z"], "z", UP, None),
        ("beyond what is read", [b"y" * (MOST_READ - 1), b"xz", BROKEN], "z", DOWN, "expect_not_found"),
        ("in another case", [GREETING], "esmtp", DOWN, "expect_not_found"),
        ("never, closed", [b"554 no service\r\n"], "220", DOWN, "expect_not_found"),
        ("nothing, closed", [], "220", DOWN, "expect_not_found"),
        ("broken off", [b"22", BROKEN], "220", DOWN, "connection_reset"),
    ],
)
async def test_what_is_expected(name: str, steps: list[Step], expect: str, status: Status, reason: str | None) -> None:
    network = ScriptedNetwork(site=steps)
    outcome = await probe(network, expect=expect)
    assert (outcome.status, outcome.reason) == (status, reason)
    assert network.open == 0


async def test_what_came_instead_is_shown() -> None:
    outcome = await probe(ScriptedNetwork(site=[b"554 no service\r\n"]), expect="220")
    assert outcome.message == ("b'220' is not among the 16 bytes of the answer: it begins with b'554 no service\\r\\n'")


async def test_a_question_is_sent_and_answered() -> None:
    async def redis(stream: trio.SocketStream) -> None:
        assert await stream.receive_some(100) == b"PING\r\n"
        await stream.send_all(b"+PO")
        await stream.send_all(b"NG\r\n")
        await trio.sleep_forever()

    async with serving(redis) as port:
        outcome = await over_loopback(port, send=r"PING\r\n", expect="PONG")
    assert outcome.status is UP
    assert outcome.phases is not None
    assert None not in (outcome.phases.send_us, outcome.phases.wait_us, outcome.phases.receive_us)


async def test_what_is_only_sent_needs_no_answer() -> None:
    network = ScriptedNetwork(site=[])
    assert (await probe(network, send=r"stats \x00\\\t")).status is UP
    assert network.requests == [b"stats \x00\\\t"]


@pytest.mark.parametrize(
    ("text", "data"),
    [("", b""), ("plain", b"plain"), (r"\r\n\t\\", b"\r\n\t\\"), (r"\x00\xFfé", b"\x00\xff\xc3\xa9"), (r"\\n", b"\\n")],
)
def test_escapes(text: str, data: bytes) -> None:
    assert unescape(text) == data


@pytest.mark.parametrize("text", ["\\", r"\q", r"\x4", r"\xzz", r"ok\x", "\\\n", r"\u0041"])
def test_escapes_that_are_none_are_refused_when_saved(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_monitor({**DATA, "send": text, "expect": text}, min_interval_ms=1000)
    assert [r"none of \r, \n, \t, \\ and \xNN" in caught.value.errors[name][0] for name in ("send", "expect")]


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("host", None, "Host is required"),
        ("host", "a b", "can exist"),
        ("host", "site:80", "without a port"),
        ("host", "http://site", "can exist"),
        ("host", "a..b", "can exist"),
        ("host", "1.2.3.999", "can exist"),
        ("host", "x" * 64, "can exist"),
        ("host", "x" * 64 + ".example", "can exist"),
        ("host", ".".join(["x" * 60] * 5), "can exist"),
        ("port", None, "Port is required"),
        ("port", 0, "between 1 and 65535"),
        ("port", "25", "a whole number"),
        ("expect", "", "must say something"),
        ("send", "x" * 5000, "at most 4096"),
        ("send", "\ud800", "UTF-8"),
        ("tlsCa", "no pem", "cannot be used"),
        ("ipVersion", 5, "must be 4 or 6"),
        ("tls", "yes", "true or false"),
    ],
)
def test_a_wrong_field_is_refused(field: str, value: object, part: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_monitor({**DATA, field: value}, min_interval_ms=1000)
    assert part in caught.value.errors[field][0]


@pytest.mark.parametrize("host", ["site", "a.b.", "_x._tcp.site", "münchen.example", "192.0.2.1", "::1", "fe80::1%lo"])
def test_hosts_of_all_sorts_are_taken(host: str) -> None:
    assert parse_monitor({**DATA, "host": host}, min_interval_ms=1000)


async def test_an_international_name_is_asked_for_as_a_labels() -> None:
    network = ScriptedNetwork()
    network.targets["xn--mnchen-3ya.example"] = []
    assert (await probe(network, host="münchen.example")).status is UP


# TLS


@asynccontextmanager
async def serving_tls(certificate: trustme.LeafCert) -> AsyncGenerator[int, None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    async def handle(plain: trio.SocketStream) -> None:
        stream = trio.SSLStream(plain, context, server_side=True)
        await stream.send_all(b"* OK ")
        await stream.send_all(b"IMAP4rev1\r\n")
        await trio.sleep_forever()

    async with serving(handle) as port:
        yield port


async def test_in_tls_with_an_authority_of_ones_own() -> None:
    authority = trustme.CA()
    async with serving_tls(authority.issue_cert("localhost")) as port:
        fields = {"host": "localhost", "tls": True, "expect": "OK IMAP4"}
        trusted = await over_loopback(port, **fields, tlsCa=authority.cert_pem.bytes().decode())
        distrusted = await over_loopback(port, **fields)
        ignored = await over_loopback(port, **fields, ignoreTlsErrors=True)
    assert (trusted.status, ignored.status, distrusted.status) == (UP, UP, DOWN)
    assert distrusted.reason is not None
    assert distrusted.reason.startswith("tls_")
    assert trusted.phases is not None
    assert trusted.phases.tls_us is not None


# Cancellation


@pytest.mark.parametrize(
    ("fields", "steps"),
    [({"expect": "x"}, [10.0]), ({"expect": "x"}, [b"y", 10.0]), ({"send": "x", "expect": "y"}, [10.0])],
)
async def test_cancelled_at_any_wait_no_connection_is_left(
    fields: dict[str, Any], steps: list[Step], autojump_clock: trio.testing.MockClock
) -> None:
    network = ScriptedNetwork(site=steps)
    with trio.move_on_after(1) as scope:
        await probe(network, **fields)
    assert scope.cancelled_caught
    assert network.open == 0


async def half_a_line(stream: trio.SocketStream) -> None:
    await stream.send_all(b"22")
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("handler", "fields"),
    [(silence, {"expect": "220"}), (half_a_line, {"expect": "220"}), (silence, {"tls": True})],
)
async def test_a_cancelled_check_leaves_no_socket(handler: Handler, fields: dict[str, Any]) -> None:
    async with serving(handler) as port:
        before = len(descriptors())
        with trio.move_on_after(0.1) as scope:
            await over_loopback(port, **fields)
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert len(descriptors()) <= before + 1, "but for the server's side"
