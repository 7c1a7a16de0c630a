"""Real sockets: who is to blame for what, TLS, and nothing left behind when a check is cancelled."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trustme

from peekaping.engine.net import network as network_module
from peekaping.engine.net import tls
from peekaping.engine.net.connection import Connection
from peekaping.engine.net.egress import DEFAULT_DENY, EgressGuard
from peekaping.engine.net.failure import Failed, blame
from peekaping.engine.net.host_files import Configuration
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.readiness import readiness
from peekaping.engine.net.resolver import Resolver
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.probes.http_probe import HttpProbe
from peekaping.engine.records import Outcome, Status

from .sites import authority
from .targets import connecting_fails, full, issued, server_context

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncGenerator[int, None]:
    """A server on a free port; gives the port."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await handler(stream)

    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host=host))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def answer(stream: trio.SocketStream) -> None:
    await stream.receive_some(65536)
    await stream.send_all(ANSWER)


async def silence(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def probe(url: str, **fields: Any) -> Outcome:
    monitor = parse_monitor({"type": "http", "name": "x", "url": url, **fields}, min_interval_ms=1000)
    assert isinstance(monitor, HttpMonitor)
    with trio.fail_after(10):
        return await HttpProbe(monitor, HostNetwork(EgressGuard()))(Trace())


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_an_answer_over_a_real_socket() -> None:
    async with serving(answer) as port:
        outcome = await probe(f"http://127.0.0.1:{port}/")
    assert (outcome.status, outcome.status_code) == (UP, 200)


async def test_over_ipv6_and_by_name() -> None:
    async with serving(answer, "::1") as port:
        assert (await probe(f"http://[::1]:{port}/")).status is UP
    async with serving(answer) as port:  # the name's other address refuses
        assert (await probe(f"http://localhost:{port}/")).status is UP


async def test_nobody_listening_is_refused() -> None:
    outcome = await probe(f"http://127.0.0.1:{free_port()}/")
    assert (outcome.status, outcome.reason) == (DOWN, "connection_refused")


async def test_failing_checks_leave_nothing_to_the_garbage_collector() -> None:
    data = {"type": "http", "name": "x", "url": f"http://127.0.0.1:{free_port()}/"}
    monitor = parse_monitor(data, min_interval_ms=1000)
    assert isinstance(monitor, HttpMonitor)
    check = HttpProbe(monitor, HostNetwork(EgressGuard()))
    gc.disable()
    try:
        gc.collect()
        for _ in range(10):
            assert (await check(Trace())).status is DOWN
        assert gc.collect() < 10, "a big outage must not fill the memory between collections"
    finally:
        gc.enable()


async def test_a_reset_is_the_targets() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    async with serving(reset) as port:
        outcome = await probe(f"http://127.0.0.1:{port}/")
    assert (outcome.status, outcome.reason) == (DOWN, "connection_reset")


async def test_a_large_request_and_a_large_answer_go_through() -> None:
    body = "x" * 5_000_000

    async def echo_length(stream: trio.SocketStream) -> None:
        received = b""
        while not received.endswith(b"x" * 100) or len(received) < len(body):
            received += await stream.receive_some(1 << 20)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body.encode())

    async with serving(echo_length) as port:
        outcome = await probe(f"http://127.0.0.1:{port}/", method="POST", body=body, maxBodyBytes=10_000_000)
    assert outcome.status is UP


def test_what_is_no_known_fault_of_the_target_is_ours() -> None:
    assert blame(OSError(9999, "?")).status is UNKNOWN
    for error in (OSError(24, ""), OSError(12, ""), OSError(101, ""), OSError(99, ""), OSError(13, "")):
        assert blame(error).status is UNKNOWN


@pytest.mark.parametrize("name", ["EHOSTUNREACH", "ENETUNREACH", "EACCES", "ENOPROTOOPT", "ENONET", "EPROTO"])
async def test_what_is_said_of_a_target_on_the_way_is_its_fault(name: str) -> None:
    with connecting_fails(getattr(errno, name), on_the_way=True):
        outcome = await probe("http://127.0.0.1:1/")
    assert (outcome.status, outcome.reason) == (DOWN, "host_unreachable")


@pytest.mark.parametrize("on_the_way", [True, False])
@pytest.mark.parametrize("name", ["EPERM", "EMFILE", "ENETDOWN", "EADDRNOTAVAIL", "ENOBUFS"])
async def test_what_only_this_host_says_is_not(name: str, *, on_the_way: bool) -> None:
    with connecting_fails(getattr(errno, name), on_the_way=on_the_way):
        assert (await probe("http://127.0.0.1:1/")).status is UNKNOWN


@pytest.mark.parametrize("name", ["EHOSTUNREACH", "ENETUNREACH", "EACCES"])
async def test_nor_what_this_host_says_before_anything_is_sent(name: str) -> None:
    with connecting_fails(getattr(errno, name)):
        assert (await probe("http://127.0.0.1:1/")).status is UNKNOWN


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
async def test_a_socket_that_is_connected_with_itself_is_refused(family: socket.AddressFamily, host: str) -> None:
    sock = socket.SocketType(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.bind((host, 0))  # as the system may choose where nobody listens
    connection = Connection(sock, readiness())
    try:
        with pytest.raises(Failed) as caught:
            await connection.connect(host, sock.getsockname()[1])
    finally:
        connection.close()
    assert (caught.value.status, caught.value.reason) == (DOWN, "connection_refused")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_answer_given_before_the_request_was_read_counts(scheme: str) -> None:
    context = server_context(issued(authority()))

    async def refuse(plain: trio.SocketStream) -> None:
        stream = trio.SSLStream(plain, context, server_side=True) if scheme == "https" else plain
        await stream.receive_some(100)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    fields = {"method": "POST", "body": "x" * 20_000_000, "tlsCa": authority().cert_pem.bytes().decode()}
    async with serving(refuse) as port:
        url = f"{scheme}://localhost:{port}/"
        assert (await probe(url, expectedStatusCodes=[413], **fields)).status is UP
        outcome = await probe(url, **fields)
    assert (outcome.reason, outcome.status_code) == ("status_code", 413)


async def test_broken_off_without_an_answer_is_reset() -> None:
    async def leave(stream: trio.SocketStream) -> None:
        await stream.receive_some(100)

    async with serving(leave) as port:
        outcome = await probe(f"http://127.0.0.1:{port}/", method="POST", body="x" * 20_000_000)
    assert (outcome.status, outcome.reason) == (DOWN, "connection_reset")


async def test_no_descriptors_left_is_unknown() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        outcome = await probe("http://127.0.0.1:1/")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (outcome.status, outcome.reason) == (UNKNOWN, "no_descriptors")


# TLS


@pytest.fixture(name="authority")
def _authority(monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that this host trusts."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    context.hostname_checks_common_name = False
    authority.configure_trust(context)
    monkeypatch.setattr(network_module, "context_for", lambda options: context)
    return authority


@asynccontextmanager
async def serving_tls(
    certificate: trustme.LeafCert, *, says_goodbye: bool = True, **limits: Any
) -> AsyncGenerator[int, None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    for name, value in limits.items():
        setattr(context, name, value)

    async def handle(plain: trio.SocketStream) -> None:
        stream = trio.SSLStream(plain, context, server_side=True, https_compatible=not says_goodbye)
        await stream.receive_some(65536)
        await stream.send_all(ANSWER if says_goodbye else b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        if says_goodbye:
            await stream.aclose()

    async with serving(handle) as port:
        yield port


async def test_a_valid_certificate(authority: trustme.CA) -> None:
    async with serving_tls(authority.issue_cert("localhost")) as port:
        outcome = await probe(f"https://localhost:{port}/")
    assert (outcome.status, outcome.reason) == (UP, None)
    assert outcome.phases is not None
    assert outcome.phases.tls_us is not None


async def test_a_final_dot_is_no_part_of_the_name_in_a_certificate(authority: trustme.CA) -> None:
    async with serving_tls(authority.issue_cert("localhost")) as port:
        outcome = await probe(f"https://localhost.:{port}/")
    assert (outcome.status, outcome.reason) == (UP, None)


async def test_a_certificate_for_an_address(authority: trustme.CA) -> None:
    async with serving_tls(authority.issue_cert("127.0.0.1")) as port:
        assert (await probe(f"https://127.0.0.1:{port}/")).status is UP


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wrong host", "tls_wrong_host"),
        ("common name only", "tls_wrong_host"),
        ("unknown authority", "tls_untrusted"),
    ],
)
async def test_a_certificate_nobody_should_trust(authority: trustme.CA, name: str, reason: str) -> None:
    certificate = {
        "wrong host": lambda: authority.issue_cert("other.example"),
        "common name only": lambda: authority.issue_cert("other.example", common_name="localhost"),
        "unknown authority": lambda: trustme.CA().issue_cert("localhost"),
    }[name]()
    async with serving_tls(certificate) as port:
        outcome = await probe(f"https://localhost:{port}/")
    assert (outcome.status, outcome.reason) == (DOWN, reason)
    assert "The certificate of localhost" in outcome.message


async def test_plain_http_on_a_tls_port(authority: trustme.CA) -> None:
    async with serving(answer) as port:
        outcome = await probe(f"https://127.0.0.1:{port}/")
    assert (outcome.status, outcome.reason) == (DOWN, "tls_handshake")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_tls_is_refused(authority: trustme.CA) -> None:
    old: dict[str, Any] = {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1}
    async with serving_tls(authority.issue_cert("localhost"), **old) as port:
        outcome = await probe(f"https://localhost:{port}/")
    assert outcome.status is DOWN
    assert outcome.reason in ("tls_handshake", "connection_reset"), "as the server refuses"


async def test_a_tls_answer_without_length_must_be_ended_properly(authority: trustme.CA) -> None:
    async with serving_tls(authority.issue_cert("localhost"), says_goodbye=False) as port:
        outcome = await probe(f"https://localhost:{port}/")
    assert (outcome.status, outcome.reason) == (DOWN, "connection_cut")


# Cancellation


def descriptors() -> set[str]:
    """The sockets that are open."""
    gc.collect()
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that listed them
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                found.add(number)
    return found


async def hang_in_handshake(stream: trio.SocketStream) -> None:
    await stream.receive_some(65536)
    await trio.sleep_forever()


async def hang_in_answer(stream: trio.SocketStream) -> None:
    await stream.receive_some(65536)
    await stream.send_all(ANSWER[:30])
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("scheme", "handler", "fields"),
    [
        ("http", silence, {}),
        ("http", silence, {"method": "POST", "body": "x" * 20_000_000}),  # in mid-send
        ("http", hang_in_answer, {}),
        ("https", hang_in_handshake, {}),
    ],
)
async def test_a_cancelled_check_leaves_no_socket(scheme: str, handler: Handler, fields: dict[str, Any]) -> None:
    async with serving(handler) as port:
        before = len(descriptors())
        with trio.move_on_after(0.1) as scope:
            await probe(f"{scheme}://127.0.0.1:{port}/", **fields)
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        # The server's side of the connection may still be open; ours is not.
        assert len(descriptors()) <= before + 1


async def test_a_check_cancelled_while_connecting_leaves_no_socket() -> None:
    with socket.socket() as full:  # a listener whose queue is full lets nobody in
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.socket() as first, socket.socket() as second:
            for filler in (first, second):
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            before = descriptors()
            with trio.move_on_after(0.1) as scope:
                await probe(f"http://127.0.0.1:{port}/")
            assert scope.cancelled_caught
            assert descriptors() == before


# Egress and names


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1%lo",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::a9fe:a9fe",
    ],
)
def test_metadata_services_are_denied_in_every_spelling(address: str) -> None:
    with pytest.raises(Failed) as caught:
        EgressGuard(DEFAULT_DENY).check(address)
    assert (caught.value.status, caught.value.reason) == (UNKNOWN, "egress_denied")


def test_everything_else_is_allowed() -> None:
    for address in ("127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "2001:db8::1"):
        EgressGuard(DEFAULT_DENY).check(address)


@pytest.mark.parametrize(
    ("address", "denied"),
    [
        ("0.0.0.0", "127.0.0.0/8"),
        ("::ffff:0.0.0.0", "127.0.0.0/8"),
        ("::", "::1/128"),
    ],
)
def test_an_address_that_leads_to_this_host_is_denied_with_loopback(address: str, denied: str) -> None:
    with pytest.raises(Failed, match=f"{denied} is denied"):
        EgressGuard([denied]).check(address)
    EgressGuard(["10.0.0.0/8"]).check(address)


def two_addresses() -> Resolver:
    return Resolver(lambda: Configuration((), hosts={"site": ("127.0.0.2", "127.0.0.1")}))


async def connects_to(addresses: Resolver, port: int) -> str:
    stream = await HostNetwork(EgressGuard(), addresses).connect("site", port, trace=Trace())
    try:
        return str(stream._socket.getpeername()[0])
    finally:
        stream.close()


async def test_of_two_addresses_the_one_that_answers_wins() -> None:
    async with serving(answer) as port:  # nobody listens on the first
        assert await connects_to(two_addresses(), port) == "127.0.0.1"


async def test_an_address_that_hangs_has_a_quarter_of_a_second_head_start() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.socket() as first, socket.socket() as second:
            for filler in (first, second):
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.2", port))
            listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
            before = descriptors()
            assert await connects_to(two_addresses(), port) == "127.0.0.1"
            assert descriptors() == before, "the loser is closed"
            for listener in listeners:
                await listener.aclose()


LATE: list[tuple[Any, tuple[Status, str] | None]] = [
    (("127.0.0.1",), None),
    ((), (DOWN, "connection_refused")),
    (Failed(UNKNOWN, "resolver_silent", ""), (UNKNOWN, "resolver_silent")),
]


@pytest.mark.parametrize(("others", "verdict"), LATE, ids=["it answers", "there is none", "nobody knows"])
async def test_the_address_family_that_was_late_is_tried_before_a_verdict(
    others: Any, verdict: tuple[Status, str] | None
) -> None:
    async def late() -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        if isinstance(others, Failed):
            raise others
        return others  # type: ignore[no-any-return]

    async with serving(answer) as port:  # nobody listens on the second
        if verdict is None:
            (await Connection.open(("127.0.0.2",), port, EgressGuard(), late)).close()
            return
        with pytest.raises(Failed) as caught:
            await Connection.open(("127.0.0.2",), port, EgressGuard(), late)
    assert (caught.value.status, caught.value.reason) == verdict


async def test_an_address_that_hangs_does_not_keep_the_late_family_from_being_tried() -> None:
    async def late() -> tuple[str, ...]:
        return ("127.0.0.2",)

    with full() as port:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.2")
        with trio.fail_after(10):
            (await Connection.open(("127.0.0.1",), port, EgressGuard(), late)).close()
        for listener in listeners:
            await listener.aclose()


async def test_a_first_address_that_fails_leaves_no_work_for_the_collector() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    network = HostNetwork(EgressGuard(), two_addresses())
    (await network.connect("site", port, trace=Trace())).close()  # what is made once is there
    await trio.testing.wait_all_tasks_blocked()
    gc.collect()
    gc.disable()
    try:
        (await network.connect("site", port, trace=Trace())).close()
        await trio.testing.wait_all_tasks_blocked()
        left = gc.collect()
    finally:
        gc.enable()
    assert left == 0
    for listener in listeners:
        await listener.aclose()


async def test_the_targets_refusal_says_more_than_our_missing_route() -> None:
    addresses = Resolver(lambda: Configuration((), hosts={"site": ("169.254.1.1", "127.0.0.1")}))
    with pytest.raises(Failed) as caught:
        await connects_to(addresses, free_port())
    assert (caught.value.status, caught.value.reason) == (DOWN, "connection_refused")


async def test_a_denied_address_is_unknown_also_behind_a_name_and_a_redirect() -> None:
    async def redirect(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")

    async with serving(redirect) as port:
        outcome = await probe(f"http://127.0.0.1:{port}/")
    assert (outcome.status, outcome.reason) == (UNKNOWN, "egress_denied")
    with pytest.raises(Failed, match=r"127\.0\.0\.0/8 is denied|::1/128 is denied"):
        await HostNetwork(EgressGuard(["127.0.0.0/8", "::1/128"])).connect("localhost", 1, trace=Trace())


async def test_a_host_that_trusts_nobody_cannot_judge_certificates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    tls._context.cache_clear()
    try:
        async with serving(answer) as port:
            outcome = await probe(f"https://127.0.0.1:{port}/")
    finally:
        tls._context.cache_clear()
    assert (outcome.status, outcome.reason) == (UNKNOWN, "no_trust_store")


def test_who_is_trusted_goes_by_the_systems_store_as_it_is_now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = 1000.0
    monkeypatch.setattr(tls, "time", SimpleNamespace(monotonic=lambda: now))
    store, folder = tmp_path / "certificates.pem", tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'missing'}:{folder}")
    pems = [trustme.CA().cert_pem.bytes() for _ in range(2)]
    store.write_bytes(pems[0])
    tls._stamp_of_store.cache_clear()
    try:
        first = tls.context_for(tls.Tls())
        ours = tls.context_for(tls.Tls(ca=pems[0].decode()))
        store.write_bytes(b"".join(pems))
        assert tls.context_for(tls.Tls()) is first, "it is not looked at for each check"
        now += tls.LOOK_AT_STORE_EVERY_S
        second = tls.context_for(tls.Tls())
        assert [len(context.get_ca_certs()) for context in (first, second)] == [1, 2]
        assert tls.context_for(tls.Tls()) is second
        assert tls.context_for(tls.Tls(ca=pems[0].decode())) is ours, "which is not of the store"
        (folder / "0a1b2c3d.0").write_bytes(pems[0])
        now += tls.LOOK_AT_STORE_EVERY_S
        assert tls.context_for(tls.Tls()) is not second
    finally:
        tls._stamp_of_store.cache_clear()


def test_verdicts_do_not_differ_by_the_version_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_in_3_13(**options: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(**options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    here = tls.new_context(tls.Tls())
    monkeypatch.setattr(tls, "ssl", SimpleNamespace(**{**vars(ssl), "create_default_context": as_in_3_13}))
    there = tls.new_context(tls.Tls())
    assert (here.verify_flags, here.options) == (there.verify_flags, there.options)
    assert not there.verify_flags & ssl.VERIFY_X509_STRICT


def test_only_where_nothing_is_verified_old_renegotiation_will_do() -> None:
    legacy = 0x4  # SSL_OP_LEGACY_SERVER_CONNECT
    assert not tls.new_context(tls.Tls()).options & legacy
    assert tls.new_context(tls.Tls(verify=False)).options & legacy


async def test_an_intermediate_authority_may_be_the_one_that_is_trusted() -> None:
    intermediate = authority().create_child_ca()
    async with serving_tls(issued(intermediate)) as port:
        outcome = await probe(f"https://localhost:{port}/", tlsCa=intermediate.cert_pem.bytes().decode())
    assert outcome.status is UP


async def test_but_it_can_by_an_authority_that_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    ca = authority.cert_pem.bytes().decode()
    client = authority.issue_cert("client.example")
    shown = {"tlsCert": client.cert_chain_pems[0].bytes().decode(), "tlsKey": client.private_key_pem.bytes().decode()}
    fields = {"type": "http", "name": "x", "url": "https://site/"}
    tls._context.cache_clear()
    try:
        parse_monitor({**fields, "authMethod": "mtls", **shown}, min_interval_ms=1000)
        parse_monitor({**fields, "tlsCa": shown["tlsCert"]}, min_interval_ms=1000)
        assert tls._context.cache_info().currsize == 0, "what is only looked at is not kept"
        async with serving_tls(authority.issue_cert("localhost")) as port:
            assert (await probe(f"https://localhost:{port}/", tlsCa=ca)).status is UP
    finally:
        tls._context.cache_clear()
