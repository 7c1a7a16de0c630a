"""What the fields of an HTTP monitor may hold: functions of one value (see `engine/monitor.py`)."""

from __future__ import annotations

import re

import httpx

from peekaping.engine.secrets import MASK

# What frames the message is ours to say.
OUR_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"})

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, 5.5: no line ends, no other control characters
_HOST = re.compile(rb"(?!.*\.\.)[A-Za-z0-9_-][A-Za-z0-9_.-]*")  # a name, as A-labels, or an IPv4 address
_RANGE = re.compile(r"([1-5]\d\d)-([1-5]\d\d)")
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def problem_of(url: httpx.URL) -> str | None:
    """Why no request can be made for this URL; None when one can.

    By the host as it is asked for: httpx shows others only when they obey IDNA 2008, which names with emoji do not.
    """
    host = url.raw_host
    if url.scheme not in ("http", "https"):
        return "must start with http:// or https://"
    if not host:
        return "must name a host"
    labels = host.rstrip(b".").split(b".")
    if b":" not in host and not (_HOST.fullmatch(host) and max(map(len, labels)) < 64 and len(host) < 255):
        return "must name a host that can exist"
    if url.port is not None and not 0 < url.port < 65536:
        return "must have a port from 1 to 65535"
    return None


def url_rule(text: str) -> str | None:
    if not text.strip():
        return "is required"
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        return f"is not valid: {error}"
    if url.userinfo:
        return "must not hold a password; use basicAuthUser and basicAuthPass"
    return problem_of(url)


def headers_rule(headers: dict[str, str]) -> str | None:
    """For headers that are sent."""
    for name in headers:
        if name.lower() in OUR_HEADERS:
            return f"must not set {name}: it is made from the request"
        if headers[name] == MASK:
            return f"hold a masked value for {name}; give the secret itself"
    return expected_headers_rule(headers)


def expected_headers_rule(headers: dict[str, str]) -> str | None:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            return f"hold a name that is none: {name!r}"
        if not _FIELD_VALUE.fullmatch(value):
            return f"hold a value with control characters or beyond Latin-1 for {name}"
    return None


def codes_rule(codes: tuple[int | str, ...]) -> str | None:
    if not codes:
        return 'must name at least one code or range such as "200-299"'
    for code in codes:
        if isinstance(code, int):
            if not 100 <= code <= 599:
                return f"must be between 100 and 599, {code} is not"
        elif (match := _RANGE.fullmatch(code)) is None or match[1] > match[2]:
            return f'must be codes or ranges such as 200 or "200-299", {code!r} is neither'
    return None


def user_rule(name: str) -> str | None:
    """RFC 7617, 2: a colon ends the name."""
    return "must hold no colon and no control characters" if ":" in name else password_rule(name)


def password_rule(password: str) -> str | None:
    return "must hold no control characters" if _CONTROL.search(password) else None


def bearer_rule(token: str) -> str | None:
    return None if _BEARER.fullmatch(token) else "must be letters, digits and -._~+/ with = at the end only"
