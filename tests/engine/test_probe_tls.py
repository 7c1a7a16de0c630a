"""Certificates: how long they are good, who issued them, and when that is down."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
import trustme
from msgspec.structs import replace

from peekaping.engine.certificate import Certificate
from peekaping.engine.errors import Invalid
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.tls import TlsMonitor, TlsProbe, judge
from peekaping.engine.records import Outcome, Status

from .scripted import ScriptedNetwork, ScriptedStream
from .test_network import Handler, descriptors, free_port, hang_in_handshake, serving, silence

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATA = {"type": "tls", "name": "x", "host": "localhost"}


def ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def monitor_of(**fields: Any) -> TlsMonitor:
    monitor = parse_monitor({**DATA, **fields}, min_interval_ms=1000)
    assert isinstance(monitor, TlsMonitor)
    return monitor


async def probe(port: int, *, now: datetime | None = None, **fields: Any) -> Outcome:
    clock = {} if now is None else {"utc_ms": lambda: ms(now)}
    with trio.fail_after(10):
        return await TlsProbe(monitor_of(port=port, **fields), HostNetwork(EgressGuard()), **clock)(Trace())


@asynccontextmanager
async def serving_tls(certificate: trustme.LeafCert) -> AsyncGenerator[int, None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    async def handle(plain: trio.SocketStream) -> None:
        await trio.SSLStream(plain, context, server_side=True).do_handshake()

    async with serving(handle) as port:
        yield port


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


async def test_a_good_certificate_is_up_and_told_of() -> None:
    authority = trustme.CA(organization_name="Our authority")
    certificate = authority.issue_cert("localhost", common_name="the site")
    async with serving_tls(certificate) as port:
        outcome = await probe(port, tlsCa=pem(authority))
    assert (outcome.status, outcome.reason) == (UP, None)
    for part in ("CN=the site", "issued by", "O=Our authority", "expires in"):
        assert part in outcome.message
    assert outcome.phases is not None
    assert outcome.phases.tls_us is not None


async def test_one_that_expires_soon_is_up_with_a_warning_or_down_as_the_monitor_says() -> None:
    authority = trustme.CA()
    # Only the clock of the probe decides here: OpenSSL goes by the real one.
    async with serving_tls(authority.issue_cert("localhost", not_after=datetime(2090, 1, 31, tzinfo=UTC))) as port:
        now = datetime(2090, 1, 20, 12, tzinfo=UTC)
        warned = await probe(port, now=now, tlsCa=pem(authority))
        calm = await probe(port, now=now, tlsCa=pem(authority), warnDays=5)
        down = await probe(port, now=now, tlsCa=pem(authority), downDays=11)
    assert (warned.status, calm.status, down.status) == (UP, UP, DOWN)
    assert warned.message.startswith("Warning: certificate expires in 10 days: ")
    assert "Warning" not in calm.message
    assert (down.reason, down.message[:35]) == ("tls_expires_soon", "The certificate expires in 10 days:")


async def test_an_expired_one_is_down_also_where_trust_does_not_matter() -> None:
    authority = trustme.CA()
    expired = authority.issue_cert("localhost", not_before=NOW - timedelta(400), not_after=NOW - timedelta(300))
    async with serving_tls(expired) as port:
        strict = await probe(port, tlsCa=pem(authority))
        lenient = await probe(port, ignoreTlsErrors=True)
    assert (strict.status, lenient.status, lenient.reason) == (DOWN, DOWN, "tls_expired")
    assert "expired on 2025-05-05" in lenient.message


@pytest.mark.parametrize("name", ["unknown authority", "wrong host"])
async def test_one_that_nobody_should_trust_is_down_unless_that_is_ignored(name: str) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("other.example" if name == "wrong host" else "localhost")
    trusted = authority if name == "wrong host" else trustme.CA()
    async with serving_tls(certificate) as port:
        strict = await probe(port, tlsCa=pem(trusted))
        lenient = await probe(port, ignoreTlsErrors=True)
    assert (strict.status, lenient.status) == (DOWN, UP)
    assert (strict.reason or "").startswith("tls_")


async def test_a_port_that_is_closed_or_speaks_no_tls_is_down() -> None:
    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 hello\r\n")
        await stream.receive_some(1000)

    assert (await probe(free_port())).reason == "connection_refused"
    async with serving(greet) as port:
        assert (await probe(port)).reason == "tls_handshake"


SITE = Certificate("CN=site", "CN=authority", ("site",), ms(NOW - timedelta(days=90)), ms(NOW), "ab" * 32, "1f")


@pytest.mark.parametrize(
    ("before", "warn_days", "down_days", "said"),
    [
        (timedelta(days=90), 14, 0, "CN=site, issued by CN=authority, expires in 90 days"),
        (timedelta(days=14), 14, 0, "CN=site, issued by CN=authority, expires in 14 days"),
        (
            timedelta(days=13, hours=23),
            14,
            0,
            "Warning: certificate expires in 13 days: CN=site, issued by CN=authority",
        ),
        (timedelta(days=1), 14, 0, "Warning: certificate expires in 1 day: CN=site, issued by CN=authority"),
        (timedelta(seconds=1), 14, 0, "Warning: certificate expires in 0 days: CN=site, issued by CN=authority"),
        (timedelta(seconds=1), 0, 0, "CN=site, issued by CN=authority, expires in 0 days"),
        (timedelta(days=7), 14, 7, "Warning: certificate expires in 7 days: CN=site, issued by CN=authority"),
    ],
)
def test_days_left_are_whole_days(before: timedelta, warn_days: int, down_days: int, said: str) -> None:
    assert judge(SITE, ms(NOW - before), warn_days, down_days) == said


@pytest.mark.parametrize(
    ("before", "down_days", "reason"),
    [(timedelta(days=6, hours=23), 7, "tls_expires_soon"), (-timedelta(seconds=1), 0, "tls_expired")],
)
def test_too_few_days_left_are_down(before: timedelta, down_days: int, reason: str) -> None:
    with pytest.raises(Failed) as caught:
        judge(SITE, ms(NOW - before), 14, down_days)
    assert (caught.value.status, caught.value.reason) == (DOWN, reason)


def test_a_certificate_without_a_subject_is_told_of_too() -> None:
    unnamed = replace(SITE, subject="")
    assert judge(unnamed, ms(NOW - timedelta(days=90)), 14, 0).startswith("(no subject), issued by CN=authority")


async def test_a_certificate_that_we_cannot_read_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedStream, "certificate", lambda self: b"no DER")
    network = ScriptedNetwork(localhost=[])
    outcome = await TlsProbe(monitor_of(), network)(Trace())
    assert (outcome.status, outcome.reason, outcome.certificate) == (UNKNOWN, "certificate_unreadable", None)
    assert network.open == 0


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"warnDays": -1}, "warnDays", "between 0 and 3650"),
        ({"downDays": 1.5}, "downDays", "a whole number of days"),
        ({"warnDays": 7, "downDays": 10}, "warnDays", "must not be less"),
        ({"tlsCa": "x"}, "tlsCa", "cannot be used"),
        ({"host": ""}, "host", "is required"),
    ],
)
def test_a_wrong_field_is_refused(fields: dict[str, Any], field: str, part: str) -> None:
    with pytest.raises(Invalid) as caught:
        monitor_of(**fields)
    assert part in caught.value.errors[field][0]


def test_no_warning_may_be_asked_for_with_a_limit_all_the_same() -> None:
    assert monitor_of(warnDays=0, downDays=10).port == 443


@pytest.mark.parametrize("handler", [silence, hang_in_handshake])
async def test_a_cancelled_check_leaves_no_socket(handler: Handler) -> None:
    async with serving(handler) as port:
        before = len(descriptors())
        with trio.move_on_after(0.1) as scope:
            await probe(port)
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert len(descriptors()) <= before + 1, "but for the server's side"
