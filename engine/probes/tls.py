"""Monitors of certificates: a TLS handshake, and how long the certificate is still good.

Nothing is said over the connection, so any service that begins with TLS will do: HTTPS, IMAPS, LDAPS, a database.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from peekaping.engine.certificate import Certificate, CertificateReader
from peekaping.engine.clock import utc_ms
from peekaping.engine.fields import Errors, Rule, between
from peekaping.engine.monitor import Monitor
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import Network
from peekaping.engine.net.tls import Tls
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes.probe import Probe
from peekaping.engine.probes.shared import (
    Flag,
    Host,
    IpVersion,
    Pem,
    WholeNumber,
    ascii_host,
    ca_rule,
    failed,
    host_rule,
    port_rule,
    up,
)
from peekaping.engine.records import Outcome, Status

Days = Annotated[int, Meta(description="a whole number of days")]
LONGEST_DAYS = 3650


class TlsMonitor(Monitor, frozen=True, kw_only=True, gc=False, rename="camel", tag="tls"):
    """Up while the target shakes hands with a certificate that is trusted and good for `down_days` or more."""

    host: Host
    port: WholeNumber = 443
    ignore_tls_errors: Flag = False
    tls_ca: Pem = None
    warn_days: Days = 14
    down_days: Days = 0
    ip_version: IpVersion = None

    rules: ClassVar[dict[str, Rule]] = {
        **Monitor.rules,
        "host": host_rule,
        "port": port_rule,
        "tls_ca": ca_rule,
        "warn_days": between(0, LONGEST_DAYS, " days"),
        "down_days": between(0, LONGEST_DAYS, " days"),
    }

    def check_together(self) -> Errors:
        """A warning that could never come is refused: somebody relies on it."""
        errors = dict(super().check_together())
        if 0 < self.warn_days < self.down_days:
            errors["warnDays"] = ["Warn days must not be less than the days at which it is down"]
        return errors


def judge(certificate: Certificate, now_ms: int, warn_days: int, down_days: int) -> str:
    """What to say of a certificate that is good enough.

    A day left is a whole day: with 23 hours to go there are 0.

    Raises:
      Failed: for one that has expired or has fewer than `down_days` left.
    """
    whose = f"{certificate.subject or '(no subject)'}, issued by {certificate.issuer}"
    days = certificate.days_left(now_ms)
    if days < 0:
        ended = datetime.fromtimestamp(certificate.not_after_ms / 1000, UTC)
        raise Failed(Status.DOWN, "tls_expired", f"The certificate expired on {ended:%Y-%m-%d}: {whose}")
    expires = f"certificate expires in {days} day{'' if days == 1 else 's'}"
    if days < down_days:
        raise Failed(Status.DOWN, "tls_expires_soon", f"The {expires}: {whose}")
    return f"Warning: {expires}: {whose}" if days < warn_days else f"{whose}, {expires.removeprefix('certificate ')}"


class TlsProbe(Probe):
    """A prepared check of one monitor."""

    __slots__ = ("_certificates", "_host", "_monitor", "_network", "_tls", "_utc_ms")

    def __init__(self, monitor: TlsMonitor, network: Network, utc_ms: Callable[[], int] = utc_ms) -> None:
        self._host = ascii_host(monitor.host)
        self._tls = Tls(verify=not monitor.ignore_tls_errors, ca=monitor.tls_ca)
        self._monitor = monitor
        self._network = network
        self._utc_ms = utc_ms
        self._certificates = CertificateReader()

    async def __call__(self, trace: Trace) -> Outcome:
        """Check once. Cancelled or not, the connection is closed."""
        monitor = self._monitor
        certificate = None
        try:
            stream = await self._network.connect(
                self._host, monitor.port, trace=trace, tls=self._tls, ip_version=monitor.ip_version
            )
            try:
                der = stream.certificate()
            finally:
                stream.close()
            assert der is not None, "a TLS server shows a certificate"
            try:
                certificate = self._certificates.first_to_end([der])
            except ValueError as error:  # OpenSSL took it, so the target may be fine
                raise Failed(
                    Status.UNKNOWN, "certificate_unreadable", f"Cannot read the certificate: {error}"
                ) from error
            outcome = up(judge(certificate, self._utc_ms(), monitor.warn_days, monitor.down_days), trace)
        except Failed as failure:
            outcome = failed(failure, trace)
        return replace(outcome, certificate=certificate)
