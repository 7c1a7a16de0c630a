"""Targets on loopback that misbehave in exactly one way, certificates to misbehave with, and faults of this host."""

from __future__ import annotations

import errno
import os
import resource
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, cycle
from typing import Any
from unittest.mock import patch

import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

Handler = Callable[[trio.SocketStream], Awaitable[None]]


class Reset:
    """A step: reset the connection."""


class Leave:
    """A step: go without a word, in TLS without close_notify."""


Step = bytes | float | type[Reset] | type[Leave]
"""What a target does next: send bytes, wait seconds, break off."""


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


@contextmanager
def full(host: str = "127.0.0.1") -> Iterator[int]:
    """A listener whose queue is full, so that connecting takes for ever; gives the port."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((host, 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def saying(*steps: Step, for_ever: Sequence[Step] = (), context: ssl.SSLContext | None = None) -> Handler:
    """A handler that reads a request, in TLS with `context`, and follows the steps, the last ones `for_ever`."""

    async def handle(plain: trio.SocketStream) -> None:
        stream: trio.abc.Stream = plain
        if context is not None:
            stream = trio.SSLStream(plain, context, server_side=True)
        await stream.receive_some(65536)
        endless: Iterable[Step] = cycle(for_ever) if for_ever else ()
        for step in chain(steps, endless):
            if isinstance(step, bytes):
                await stream.send_all(step)
            elif isinstance(step, float):
                await trio.sleep(step)
            else:
                if step is Reset:
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
                return
        await stream.aclose()

    return handle


async def silence(stream: trio.SocketStream) -> None:
    """A handler that says nothing."""
    await trio.sleep_forever()


async def reset_at_once(stream: trio.SocketStream) -> None:
    """A handler that resets every connection."""
    await trio.lowlevel.checkpoint()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))


async def hang_in_handshake(stream: trio.SocketStream) -> None:
    """A handler that takes the client's greeting and says nothing."""
    await stream.receive_some(65536)
    await trio.sleep_forever()


# Certificates


def issued(
    authority: trustme.CA,
    days: float = 100,
    *,
    begins_in_days: float = -1,
    host: str = "localhost",
    key_type: trustme.KeyType = trustme.KeyType.ECDSA,
) -> trustme.LeafCert:
    """A certificate that ends in so many days."""
    now = datetime.now(UTC)
    begin, end = now + timedelta(days=begins_in_days), now + timedelta(days=days)
    return authority.issue_cert(host, not_before=begin, not_after=end, key_type=key_type)


def self_signed() -> trustme.LeafCert:
    """A certificate that is its own authority."""
    return _by_hand(None, x509.SubjectAlternativeName([x509.DNSName("localhost")]))


def without_alternative_name(authority: trustme.CA) -> trustme.LeafCert:
    """A certificate that names its host the old way, as its common name."""
    return _by_hand(authority, x509.BasicConstraints(ca=False, path_length=None))


def _by_hand(authority: trustme.CA | None, extension: x509.ExtensionType) -> trustme.LeafCert:
    key = generate_private_key(SECP256R1())
    name = issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    signer: Any = key
    if authority is not None:
        issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
        signer = load_pem_private_key(authority.private_key_pem.bytes(), None)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=9))
        .add_extension(extension, critical=False)
        .sign(signer, SHA256())
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return trustme.LeafCert(key_pem, certificate.public_bytes(Encoding.PEM), [])


def weakly_signed(authority: trustme.CA) -> trustme.LeafCert:
    """A certificate signed with SHA-1, by an authority with an RSA key.

    The libraries refuse to make one, so a good one's algorithm is exchanged (the two identifiers differ in the last byte,
    RFC 8017, A.2.4) and signed anew.
    """
    good = authority.issue_cert("localhost")
    certificate = x509.load_pem_x509_certificate(good.cert_chain_pems[0].bytes())
    key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    signed = certificate.tbs_certificate_bytes.replace(sha256, sha1)
    der = (
        certificate.public_bytes(Encoding.DER).replace(certificate.tbs_certificate_bytes, signed).replace(sha256, sha1)
    )
    der = der.replace(certificate.signature, key.sign(signed, PKCS1v15(), SHA1()))
    return trustme.LeafCert(good.private_key_pem.bytes(), ssl.DER_cert_to_PEM_cert(der).encode(), [])


def server_context(certificate: trustme.LeafCert, *, whole_chain: bool = True) -> ssl.SSLContext:
    """A server's context, which shows its intermediate certificates or forgets them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # as weak as a client takes it
    pems = certificate.cert_chain_pems if whole_chain else certificate.cert_chain_pems[:1]
    pem = b"".join(pem.bytes() for pem in [certificate.private_key_pem, *pems])
    with trustme.Blob(pem).tempfile() as path:
        context.load_cert_chain(path)
    return context


# Faults of this host


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No file can be opened any more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def connecting_fails(number: int, *, on_the_way: bool = False) -> Iterator[None]:
    """The system answers every attempt to connect with this error, at once or after something was sent: what loopback itself
    cannot be brought to."""

    class Failing(socket.SocketType):
        begun = not on_the_way

        def connect_ex(self, address: object, /) -> int:
            if self.begun:
                return number
            self.begun = True
            return errno.EINPROGRESS

    with patch("peekaping.engine.net.connection.socket.SocketType", Failing):
        yield


@contextmanager
def gateway_is_dead() -> Iterator[None]:
    """Nobody on this host's network answers for its gateway."""
    with (
        connecting_fails(errno.EHOSTUNREACH, on_the_way=True),
        patch("peekaping.engine.net.failure.dead_gateway", lambda address: "192.0.2.1"),
    ):
        yield
