"""What is read of a certificate, and that it is read once."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from peekaping.engine import certificate as module
from peekaping.engine.certificate import CertificateReader, read

from .targets import issued

DAY_MS = 86_400_000
BEGIN, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 5, 30, 12, tzinfo=UTC)


def der_of(certificate: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())


def made(*extensions: x509.ExtensionType, serial: int = 31) -> bytes:
    """A certificate without a subject, in DER."""
    key = generate_private_key(SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "R\0ot")])
    builder = x509.CertificateBuilder(issuer, x509.Name([]), key.public_key(), serial, BEGIN, END)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def test_the_details_of_a_certificate() -> None:
    authority = trustme.CA(organization_name="Our authority")
    identities = ("shop.example", "*.shop.example", "192.0.2.1", "2001:db8::1")
    der = der_of(authority.issue_cert(*identities, common_name="shop", not_before=BEGIN, not_after=END))
    found = read(der)
    assert "CN=shop" in found.subject
    assert "O=Our authority" in found.issuer
    assert found.names == identities
    assert (found.not_before_ms, found.not_after_ms) == (BEGIN.timestamp() * 1000, END.timestamp() * 1000)
    assert found.fingerprint == sha256(der).hexdigest()
    assert int(found.serial_number, 16) == x509.load_der_x509_certificate(der).serial_number


def test_one_that_names_nobody_is_read_all_the_same() -> None:
    found = read(made(serial=(1 << 159) - 1))
    assert (found.subject, found.names, found.serial_number) == ("", (), "7" + "f" * 39)


def test_a_name_of_an_odd_type_is_no_fault_but_a_certificate_that_cannot_be_read() -> None:
    kind = x509.NameAttribute(x509.NameOID.X500_UNIQUE_IDENTIFIER, b"\0\1", _type=x509.name._ASN1Type.BitString)
    key = generate_private_key(SECP256R1())
    name = x509.Name([kind])
    der = x509.CertificateBuilder(name, name, key.public_key(), 1, BEGIN, END).sign(key, SHA256())
    # The same bits as a common name, which may not be bits.
    odd = der.public_bytes(Encoding.DER).replace(bytes([0x55, 4, 45]), bytes([0x55, 4, 3]))
    with pytest.raises(ValueError, match="BitString"):
        read(odd)


def test_names_that_cannot_be_read_do_not_hide_the_end() -> None:
    san = x509.SubjectAlternativeName.oid
    found = read(made(x509.UnrecognizedExtension(san, b"\x30\x03\x87\x01\x00")))  # an address of one byte
    assert (found.names, found.not_after_ms) == ((), END.timestamp() * 1000)


@pytest.mark.parametrize(
    "der", [b"", b"no DER", made()[:-1], made().replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09")]
)
def test_what_cannot_be_read_is_a_value_error(der: bytes) -> None:
    with pytest.raises(ValueError):
        read(der)


@pytest.mark.parametrize(
    ("before", "days"),
    [
        (timedelta(days=90), 90),
        (timedelta(hours=23), 0),
        (timedelta(0), 0),
        (-timedelta(seconds=1), -1),
        (-timedelta(days=9), -9),
    ],
)
def test_the_days_left_are_whole_days(before: timedelta, days: int) -> None:
    assert read(made()).days_left(round((END - before).timestamp() * 1000)) == days


def test_a_certificate_is_read_again_only_when_it_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []

    def note(der: bytes) -> module.Certificate:
        parsed.append(der)
        return read(der)

    monkeypatch.setattr(module, "read", note)
    authority = trustme.CA()
    old, new = der_of(issued(authority, 5)), der_of(issued(authority, 90))
    reader = CertificateReader()
    found = [reader.first_to_end([bytes(bytearray(der))]).fingerprint for der in (old, old, old, new, new)]
    assert found == [read(old).fingerprint] * 3 + [read(new).fingerprint] * 2
    assert parsed == [old, new]
    assert reader.first_to_end([new, old]) == read(old), "it ends first"
