"""TLS as a browser would have it, and how it is shared: a context costs a megabyte and 20 ms, so equal options share one."""

from __future__ import annotations

import os
import ssl
import tempfile
import time
from functools import lru_cache
from pathlib import Path

import msgspec

from peekaping.engine.net.failure import Failed
from peekaping.engine.records import Status


class Tls(msgspec.Struct, frozen=True):
    """How to shake hands. PEM texts; by default as any browser would."""

    verify: bool = True
    """False: any certificate will do, any protocol version too."""
    ca: str | None = None
    """Trust these authorities in place of the system's."""
    certificate: str | None = None
    """Show this client certificate, with its chain."""
    key: str | None = None
    protocols: tuple[str, ...] = ()
    """Offered by ALPN (RFC 7301), the preferred one first."""


DEFAULT_TLS = Tls()
MOST_CONTEXTS = 500
"""Half a gigabyte at the worst, where as many monitors each have a certificate of their own to show. Where there are more,
contexts are made again and again."""
LOOK_AT_STORE_EVERY_S = 5.0

_LEGACY_SERVER_CONNECT = 0x4
"""SSL_OP_LEGACY_SERVER_CONNECT: also with servers that know no secure renegotiation (RFC 5746). Python 3.12 has a name for it."""


def context_for(options: Tls) -> ssl.SSLContext:
    """The context for these options, made anew when the system's store changes.

    Raises:
      Failed: UNKNOWN when this host has no authorities at all; every target would look like an outage.
      ssl.SSLError, ValueError: see `new_context`.
    """
    uses_store = options.verify and options.ca is None
    return _context(options, _stamp_of_store(int(time.monotonic() / LOOK_AT_STORE_EVERY_S)) if uses_store else None)


@lru_cache(maxsize=MOST_CONTEXTS)
def _context(options: Tls, stamp: object) -> ssl.SSLContext:
    context = new_context(options)
    if options.verify and options.ca is None and not _trusts_anybody(context):
        message = "This host trusts no certificate authority; install ca-certificates or set SSL_CERT_FILE"
        raise Failed(Status.UNKNOWN, "no_trust_store", message)
    return context


@lru_cache(maxsize=1)
def _stamp_of_store(moment: int) -> tuple[object, ...]:
    """What tells that the system's store was changed, looked at once in each `moment`: a look at files costs too much for each
    check."""
    paths = ssl.get_default_verify_paths()
    file = os.environ.get(paths.openssl_cafile_env, paths.openssl_cafile)
    folder = os.environ.get(paths.openssl_capath_env, paths.openssl_capath)
    return tuple(_stamp(place) for place in (file, *folder.split(os.pathsep)))


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def new_context(options: Tls) -> ssl.SSLContext:
    """A context that nobody shares, for who only looks whether there can be one.

    It checks the chain against the system's store (SSL_CERT_FILE is honoured) or `ca`, and the name in subjectAltName only
    (RFC 9525). SHA-1 signatures and TLS below 1.2 are refused, unless nothing is verified.

    Raises:
      ssl.SSLError, ValueError: for PEM texts that are none, or a key that does not fit its certificate.
    """
    context = ssl.create_default_context(cadata=options.ca)
    context.hostname_checks_common_name = False
    # Python's own are fewer: a target that has CBC or the exchange of keys by RSA alone is served well by browsers and curl.
    context.set_ciphers("DEFAULT:@SECLEVEL=2")
    # As Python has them differs by its version; browsers and curl take an intermediate authority that is trusted as the end of
    # a chain, and certificates that break RFC 5280 in what is not to do with trust.
    context.verify_flags = (context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.options |= _LEGACY_SERVER_CONNECT
        context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL hides what is weak behind the security level too
    if options.certificate is not None:
        _show(context, options.certificate, options.key)
    if options.protocols:
        context.set_alpn_protocols(options.protocols)
    return context


def _trusts_anybody(context: ssl.SSLContext) -> bool:
    """Whether any authority is loaded, or lies in the folder that OpenSSL looks into when it needs one."""
    if context.cert_store_stats()["x509_ca"]:
        return True
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and any(Path(folder).iterdir())


def _show(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Python's ssl takes client certificates from files only; this one is gone before anybody else can look for it."""
    with tempfile.TemporaryDirectory() as folder:  # readable by this user alone
        path = Path(folder) / "client.pem"
        path.write_text(f"{certificate}\n{key or ''}")
        context.load_cert_chain(path, password=_no_password)


def _no_password() -> bytes:
    raise ValueError("the key is encrypted; give it without a password")


_REFUSALS = {  # X509_V_ERR_ in OpenSSL's x509_vfy.h
    9: ("tls_not_yet_valid", "is not valid yet"),
    10: ("tls_expired", "has expired"),
    18: ("tls_self_signed", "is signed by itself alone"),
    62: ("tls_wrong_host", "is for another host"),
    64: ("tls_wrong_host", "is for another host"),
    # OpenSSL cannot tell an authority that nobody knows from one whose intermediate certificate the server forgot to send.
    **dict.fromkeys(
        (2, 19, 20, 21),
        ("tls_untrusted", "is signed by an authority that is not known, or the server does not send the whole chain"),
    ),
    **dict.fromkeys((66, 67, 68), ("tls_weak", "is signed too weakly")),
}


def refused(error: ssl.SSLCertVerificationError, host: str) -> Failed:
    """Why a certificate is not accepted: what a person would do about each is another thing, so each has its reason code."""
    reason, what = _REFUSALS.get(error.verify_code, ("tls_certificate", "is not valid"))
    return Failed(Status.DOWN, reason, f"The certificate of {host} {what} ({error.verify_message})")
