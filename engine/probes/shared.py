"""What several kinds of monitors share: hosts, ports, address families, authorities, and how a check's end becomes an outcome."""

from __future__ import annotations

import re
import ssl
from typing import Annotated, Literal

import httpx
from msgspec import Meta

from peekaping.engine.fields import Rule, between
from peekaping.engine.net.address import is_address
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.tls import Tls, new_context
from peekaping.engine.net.trace import Trace
from peekaping.engine.records import Outcome, Status

Flag = Annotated[bool, Meta(description="true or false")]
Host = Annotated[str, Meta(description="a host name or an IP address")]
IpVersion = Annotated[Literal[4, 6] | None, Meta(description="4 or 6")]
Pem = Annotated[str | None, Meta(description="a text in PEM")]
WholeNumber = Annotated[int, Meta(description="a whole number")]

_NAME = re.compile(r"(?=.{1,253}\.?$)(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")  # RFC 1035, 2.3.4


def ascii_host(text: str) -> str:
    """A host as it is asked for: an address as it is, an international name as A-labels.

    Raises:
      ValueError: for what can be no host.
    """
    if is_address(text):
        return text
    try:
        host = httpx.URL(scheme="http", host=text).raw_host.decode("ascii")
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    if not (_NAME.fullmatch(host) or is_address(host)):
        raise ValueError("no name that can exist")
    return host


def host_rule(text: str) -> str | None:
    """A rule for hosts."""
    if not text.strip():
        return "is required"
    try:
        ascii_host(text)
    except ValueError:
        return "must be a host name that can exist or an IP address, without a port"
    return None


port_rule: Rule = between(1, 65535)


def ca_rule(pem: str) -> str | None:
    """A rule for authorities to trust."""
    return tls_problem(Tls(ca=pem)) if pem.strip() else "is required"


def tls_problem(options: Tls) -> str | None:
    """Why these texts are of no use; None when they are."""
    try:
        new_context(options)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: a text that is not ASCII
        reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else error
        return f"cannot be used: {reason}"
    return None


def up(message: str, trace: Trace) -> Outcome:
    """The end of a good check."""
    response_ms, phases = trace.finish()
    return Outcome(Status.UP, message, None, response_ms, phases=phases)


def failed(failure: Failed, trace: Trace) -> Outcome:
    """The end of any other."""
    return Outcome(failure.status, failure.message, failure.reason, phases=trace.finish()[1])
