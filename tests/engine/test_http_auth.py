"""Who a monitor says it is, and to whom: credentials and client certificates stay with their origin. And whom it trusts."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trustme

from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor, prepare
from peekaping.engine.records import Outcome, Status

from .scripted import ScriptedNetwork, Step
from .sites import OK, authority, https, moved, this_host
from .targets import issued, saying, self_signed, server_context, serving

UP, DOWN = Status.UP, Status.DOWN
CA = {"tlsCa": authority().cert_pem.bytes().decode()}


async def probe(network: Any, url: str, **fields: Any) -> Outcome:
    monitor = parse_monitor({"type": "http", "name": "x", "url": url, **fields}, min_interval_ms=1000)
    with trio.fail_after(10):
        return await prepare(monitor, network)(Trace())


BASIC = {"authMethod": "basic", "basicAuthUser": "mé", "basicAuthPass": "a:b"}
BEARER = {"authMethod": "bearer", "bearerToken": "t0ken=="}
AS_BASIC = b"Authorization: Basic " + b64encode("mé:a:b".encode())


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        (BASIC, AS_BASIC),
        ({"authMethod": "basic", "basicAuthUser": "me"}, b"Authorization: Basic bWU6"),
        (BEARER, b"Authorization: Bearer t0ken=="),
        ({**BEARER, "authMethod": "none"}, None),
    ],
)
async def test_credentials_are_sent_as_the_method_says(fields: dict[str, Any], header: bytes | None) -> None:
    network = ScriptedNetwork(site=[OK])
    assert (await probe(network, "http://site/", **fields)).status is UP
    (request,) = network.requests
    assert (header in request.split(b"\r\n")) if header else (b"uthorization" not in request)


@pytest.mark.parametrize("fields", [BASIC, BEARER])
@pytest.mark.parametrize(
    ("to", "follows"),
    [
        ("/there", True),
        ("http://site:80/there", True),
        ("http://other/", False),
        ("http://site:81/", False),
        ("https://site/", False),
    ],
)
async def test_credentials_stay_with_their_origin(fields: dict[str, Any], to: str, follows: bool) -> None:
    answers: list[list[Step]] = [[moved(to)], [OK]]
    network = ScriptedNetwork(site=lambda: answers.pop(0), other=[OK])
    assert (await probe(network, "http://site/", **fields)).status is UP
    first, second = network.requests
    assert b"Authorization: " in first
    assert (b"Authorization: " in second) is follows


async def test_what_was_left_behind_does_not_come_back_with_a_second_redirect() -> None:
    answers: list[list[Step]] = [[moved("http://other/")], [OK]]
    network = ScriptedNetwork(site=lambda: answers.pop(0), other=[moved("http://site/")])
    await probe(network, "http://site/", headers={"X-API-Key": "hush", "X-Plain": "1"}, **BEARER)
    assert [b"hush" in request for request in network.requests] == [True, False, False]
    assert [b"Bearer" in request for request in network.requests] == [True, False, False]
    assert [b"X-Plain" in request for request in network.requests] == [True, True, True]


# Client certificates


def demanding(context: ssl.SSLContext, mode: ssl.VerifyMode) -> ssl.SSLContext:
    """A server that asks for a client certificate of the authority."""
    authority().configure_trust(context)
    context.verify_mode = mode
    return context


def client_fields() -> dict[str, Any]:
    certificate = issued(authority().create_child_ca(), host="client.example")
    chain = "".join(pem.bytes().decode() for pem in certificate.cert_chain_pems)
    key = certificate.private_key_pem.bytes().decode()
    return {"authMethod": "mtls", "tlsCert": chain, "tlsKey": key, **CA}


async def test_a_client_certificate_with_its_chain_opens_the_door() -> None:
    context = demanding(server_context(issued(authority())), ssl.CERT_REQUIRED)
    async with serving(saying(OK, context=context)) as port:
        assert (await probe(this_host(), f"https://localhost:{port}/", **client_fields())).status is UP
        without = await probe(this_host(), f"https://localhost:{port}/", **client_fields() | {"authMethod": "none"})
        assert without.status is DOWN


async def test_a_client_certificate_stays_with_its_origin() -> None:
    shown: list[object] = []

    def noting(answer: Callable[[], bytes]) -> Any:
        context = demanding(server_context(issued(authority())), ssl.CERT_OPTIONAL)

        async def handle(plain: trio.SocketStream) -> None:
            stream = trio.SSLStream(plain, context, server_side=True)
            await stream.receive_some(65536)
            shown.append(stream.getpeercert())
            await stream.send_all(answer())

        return handle

    async with (
        serving(noting(lambda: OK)) as other,
        serving(noting(lambda: moved(f"https://localhost:{other}/"))) as port,
    ):
        outcome = await probe(this_host(), f"https://localhost:{port}/", **client_fields())
    assert outcome.status is UP
    assert [bool(certificate) for certificate in shown] == [True, False]


# Trust


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize(
    "target",
    [
        https(self_signed),
        https(lambda: issued(authority(), -1, begins_in_days=-2)),
        https(lambda: issued(trustme.CA(), host="other.example")),
        https(
            lambda: issued(authority()), minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1
        ),
    ],
)
async def test_tls_errors_are_ignored_only_when_told_so(target: Any) -> None:
    async with target() as site:
        assert (await probe(site.network, site.url, **CA)).status is DOWN
        assert (await probe(site.network, site.url, ignoreTlsErrors=True)).status is UP


async def test_the_given_authority_takes_the_place_of_the_systems() -> None:
    async with https(lambda: issued(authority()))() as site:
        assert (await probe(site.network, site.url)).reason == "tls_untrusted"
        assert (await probe(site.network, site.url, **CA)).status is UP


@pytest.mark.parametrize(
    ("days", "note"),
    [
        (14.5, "OK"),
        (13.9, "OK; certificate expires in 13 days"),
        (1.5, "OK; certificate expires in 1 day"),
        (0.5, "OK; certificate expires in 0 days"),
    ],
)
async def test_a_certificate_that_ends_soon_is_told(days: float, note: str) -> None:
    async with https(lambda: issued(authority(), days))() as site:
        outcome = await probe(site.network, site.url, checkCertExpiry=True, **CA)
        assert (outcome.status, outcome.message) == (UP, note)
        assert (await probe(site.network, site.url, **CA)).message == "OK", "nobody asked"


async def test_of_several_certificates_the_one_that_ends_first_is_told() -> None:
    soon, later = server_context(issued(authority(), 3.5)), server_context(issued(authority(), 9.5))
    async with (
        serving(saying(OK, context=later)) as other,
        serving(saying(moved(f"https://localhost:{other}/"), context=soon)) as port,
    ):
        outcome = await probe(this_host(), f"https://localhost:{port}/", checkCertExpiry=True, **CA)
    assert outcome.message == "OK; certificate expires in 3 days"


async def test_an_ignored_expiry_is_told_all_the_same() -> None:
    async with https(lambda: issued(authority(), -1, begins_in_days=-2))() as site:
        outcome = await probe(site.network, site.url, checkCertExpiry=True, ignoreTlsErrors=True)
    assert (outcome.status, outcome.message) == (UP, "OK; certificate has expired")


async def test_the_address_family_is_the_one_asked_for() -> None:
    network = this_host(site=("::1", "127.0.0.1"))
    async with serving(saying(OK), "::1") as port:
        assert (await probe(network, f"http://site:{port}/", ipVersion=6)).status is UP
        assert (await probe(network, f"http://site:{port}/", ipVersion=4)).reason == "connection_refused"
        assert (await probe(network, f"http://[::1]:{port}/", ipVersion=4)).reason == "no_address"
