"""What is told of a target's certificate, and the one way to read it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec
from cryptography import x509

from peekaping.engine.clock import DAY_MS


class Certificate(msgspec.Struct, frozen=True, gc=False):
    """The details of a certificate. Stored as they are, so that a new field needs a default."""

    subject: str
    """As in RFC 4514; empty where the names are in `names` alone."""
    issuer: str
    names: tuple[str, ...]
    """The host names and addresses in subjectAltName."""
    not_before_ms: int
    not_after_ms: int
    fingerprint: str
    """SHA-256 of the whole certificate, as 64 hexadecimal digits."""
    serial_number: str
    """In hexadecimal digits: it may have 160 bits."""

    def days_left(self, now_ms: int) -> int:
        """Whole days until it ends: with 23 hours to go there are 0, an hour after it -1."""
        return (self.not_after_ms - now_ms) // DAY_MS


class SeenCertificate(NamedTuple):
    """The certificate that a target showed last, and when it was first seen there."""

    certificate: Certificate
    since_ms: int


class CertificateReader:
    """Reads what a target shows at every check, and parses it only when it is another than before: that takes 30 µs and more."""

    __slots__ = ("_first_to_end", "_shown")

    def __init__(self) -> None:
        self._shown: Sequence[bytes] = ()
        self._first_to_end: Certificate | None = None

    def first_to_end(self, shown: Sequence[bytes]) -> Certificate:
        """Of the certificates of one check, at least one, in DER, the one that ends first; raises ValueError as `read`."""
        if self._first_to_end is None or shown != self._shown:
            self._first_to_end = min(map(read, shown), key=lambda certificate: certificate.not_after_ms)
            self._shown = shown
        return self._first_to_end


def read(der: bytes) -> Certificate:
    """Raises ValueError for what cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return Certificate(
            certificate.subject.rfc4514_string(),
            certificate.issuer.rfc4514_string(),
            _names(certificate),
            int(certificate.not_valid_before_utc.timestamp()) * 1000,
            int(certificate.not_valid_after_utc.timestamp()) * 1000,
            sha256(der).hexdigest(),
            f"{certificate.serial_number:x}",
        )
    except (x509.InvalidVersion, TypeError) as error:  # the latter for a name's attribute of an odd type
        raise ValueError(str(error)) from error


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return ()  # an odd extension must not hide when the certificate ends
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))
