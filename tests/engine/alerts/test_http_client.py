"""The HTTP client of senders goes to the network as probes do."""

from __future__ import annotations

import pytest
import trustme

from peekaping.engine.alerts.http_client import http_client
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.host_files import Configuration
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.resolver import Resolver
from peekaping.engine.net.tls import Tls

from ..targets import saying, server_context, serving
from .service import Answer, service

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_names_are_found_by_our_resolver() -> None:
    resolver = Resolver(lambda: Configuration((), hosts={"hooks.test": ("127.0.0.1",)}))
    async with service() as receiver, http_client(HostNetwork(EgressGuard(), resolver)) as client:
        response = await client.post(receiver.url.replace("127.0.0.1", "hooks.test"))
    assert response.text == "ok"
    assert receiver.request.headers["host"].startswith("hooks.test:")


async def test_a_name_that_leads_to_a_denied_address_is_not_reached() -> None:
    resolver = Resolver(lambda: Configuration((), hosts={"innocent.test": ("127.0.0.1",)}))
    async with service() as receiver, http_client(HostNetwork(EgressGuard(["127.0.0.0/8"]), resolver)) as client:
        with pytest.raises(Failed, match=r"127\.0\.0\.0/8 is denied"):
            await client.post(receiver.url.replace("127.0.0.1", "innocent.test"))
    assert receiver.requests == []


async def test_https_checks_the_certificate() -> None:
    authority = trustme.CA()
    context = server_context(authority.issue_cert("localhost"))
    network = HostNetwork(EgressGuard())
    async with serving(saying(OK, context=context)) as port:
        async with http_client(network, Tls(ca=authority.cert_pem.bytes().decode())) as client:
            assert (await client.get(f"https://localhost:{port}/")).text == "ok"
        async with http_client(network, Tls(ca=trustme.CA().cert_pem.bytes().decode())) as client:
            with pytest.raises(Failed, match="certificate of localhost"):
                await client.get(f"https://localhost:{port}/")


async def test_what_is_compressed_unasked_is_not_unpacked() -> None:
    async with service(Answer(200, b"\x1f\x8b", (("Content-Encoding", "gzip"),))) as receiver:
        async with http_client(HostNetwork(EgressGuard())) as client:
            assert (await client.get(receiver.url)).content == b"\x1f\x8b"
    assert receiver.request.headers["accept-encoding"] == "identity"


async def test_a_proxy_of_the_environment_is_not_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as proxy, service() as receiver:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with http_client(HostNetwork(EgressGuard())) as client:
            await client.get(receiver.url)
    assert proxy.requests == []
    assert len(receiver.requests) == 1
