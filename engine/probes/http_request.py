"""What is asked of a target, and what a redirect makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from hpack import HeaderTuple, NeverIndexedHeaderTuple
from msgspec.structs import replace

from peekaping.engine.net.failure import Failed
from peekaping.engine.net.tls import DEFAULT_TLS, Tls
from peekaping.engine.probes.http_rules import problem_of
from peekaping.engine.records import Status
from peekaping.engine.secrets import SECRET_HEADERS

REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Request:
    """A request as it goes over the wire. Made once for all checks of a monitor, so it keeps the bytes, not the parsed URL."""

    __slots__ = ("body", "data", "fields", "headers", "host", "method", "options", "port", "secret", "tls", "url")

    def __init__(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes,
        options: Tls = DEFAULT_TLS,
        *,
        secret: frozenset[str] = SECRET_HEADERS,
        keep_alive: bool = False,
    ) -> None:
        self.secret = secret
        """Headers, in lower case, that are meant for one origin and must not follow a redirect to another (RFC 9110, 15.4)."""
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.options = options
        parsed = httpx.URL(url)
        self.tls = options if parsed.scheme == "https" else None
        self.host = parsed.raw_host.decode("ascii")  # an international name as A-labels
        self.port = parsed.port or (443 if self.tls else 80)
        self.fields: tuple[HeaderTuple, ...] = ()
        """The header for HTTP/2; empty where that is not offered. h2 drops what speaks of the connection (RFC 9113, 8.2.2)."""
        if self.tls is not None and "h2" in self.tls.protocols:
            self.fields = tuple(self._fields(parsed))
        lines = [method.encode() + b" " + parsed.raw_path + b" HTTP/1.1"]
        if not any(name.lower() == "host" for name in headers):
            lines.append(b"Host: " + parsed.netloc)
        lines += [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
        if self._says_length:
            lines.append(b"Content-Length: %d" % len(body))
        if not keep_alive:
            lines.append(b"Connection: close")
        self.data = b"\r\n".join([*lines, b"\r\n"]) + body

    def _fields(self, url: httpx.URL) -> Iterator[HeaderTuple]:
        host = next((value.strip() for name, value in self.headers.items() if name.lower() == "host"), "")
        yield HeaderTuple(b":method", self.method.encode())
        yield HeaderTuple(b":scheme", b"https")
        yield HeaderTuple(b":authority", host.encode("latin-1") or url.netloc)
        yield HeaderTuple(b":path", url.raw_path)
        for name, value in self.headers.items():
            if (lowered := name.lower()) != "host":
                # A secret in a compression context can be guessed by its length (RFC 7541, 7.1).
                kind = NeverIndexedHeaderTuple if lowered in self.secret else HeaderTuple
                yield kind(lowered.encode(), value.encode("latin-1"))
        if self._says_length:
            yield HeaderTuple(b"content-length", b"%d" % len(self.body))

    @property
    def _says_length(self) -> bool:
        return bool(self.body) or self.method in ("POST", "PUT", "PATCH")


def follow(request: Request, status_code: int, location: str) -> Request:
    """The request that a redirect asks for (RFC 9110, 15.4; methods change as browsers change them).

    Raises:
      Failed: for a location that is no http or https address.
    """
    here = httpx.URL(request.url)
    try:
        url = here.join(location)
        problem = problem_of(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise Failed(Status.DOWN, "bad_redirect", f"Redirect to an address that is not valid: {error}") from error
    if problem is not None:
        raise Failed(Status.DOWN, "bad_redirect", f"Redirect to {location!r}, which {problem}")
    method, body, headers, options = request.method, request.body, request.headers, request.options
    if status_code == 303 or (status_code in (301, 302) and method == "POST"):
        if method != "HEAD":
            method = "GET"
        body = b""
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    if _origin(url) != _origin(here):
        unsafe = request.secret | {"host"}
        headers = {name: value for name, value in headers.items() if name.lower() not in unsafe}
        options = replace(options, certificate=None, key=None)
    return Request(method, str(url.copy_with(userinfo=b"")), headers, body, options, secret=request.secret)


def _origin(url: httpx.URL) -> tuple[str, bytes, int]:
    return url.scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80)
