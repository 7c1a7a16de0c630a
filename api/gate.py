"""What every request passes: who is it, may they ask that often, may they ask at all.

Everything is closed unless its endpoint is in `OPEN`, so that a new route cannot be left open by forgetting a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.datastructures import Headers

from peekaping.api.auth import Identity, Sessions
from peekaping.api.errors import Unauthorized, too_many
from peekaping.api.limits import RateLimits
from peekaping.api.settings import ApiSettings

OPEN = frozenset({"sessions.login", "sessions.refresh", "heartbeats.push", "health", "health_v1"})
"""Endpoints that need no login."""
UNCOUNTED = frozenset({"heartbeats.push", "health", "health_v1"})
"""Endpoints outside the rate limits: pushes have their own, health is asked by load balancers."""


def install(app: QuartTrio, sessions: Sessions, settings: ApiSettings, utc_ms: Callable[[], int]) -> None:
    """Put the gate before every route of the app, and the rate-limit headers on every answer."""
    limits = RateLimits(settings.rate_limit_per_hour, settings.rate_limit_per_minute)

    async def enter() -> None:
        now_ms = utc_ms()
        endpoint = request.endpoint
        g.address = client_address(request.scope, request.headers, settings.trusted_proxies)
        identity, refusal = None, Unauthorized("Log in, and send the access token as Authorization: Bearer")
        token = token_of(request.headers)
        if token is not None:
            try:
                identity = sessions.identify(token, now_ms)
            except Unauthorized as error:
                refusal = error
        if endpoint not in UNCOUNTED:
            ruling = limits.take(f"user-{identity.user}" if identity else network_of(g.address), now_ms)
            if ruling is not None:
                g.standing = ruling.shown
                if ruling.refused_until_ms is not None:
                    raise too_many("Too many requests", ruling.refused_until_ms - now_ms)
        # Where no route matches, the 404 or 405 that is coming says more than a 401.
        if identity is None and endpoint is not None and endpoint not in OPEN:
            raise refusal
        g.identity = identity

    async def leave(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        standing = g.get("standing")
        if standing is not None:
            response.headers["X-RateLimit-Limit"] = str(standing.limit)
            response.headers["X-RateLimit-Remaining"] = str(standing.remaining)
            response.headers["X-RateLimit-Reset"] = str(-(-standing.reset_ms // 1000))
        return response

    app.before_request(enter)
    app.after_request(leave)


def identity() -> Identity:
    """Who sent the present request; only for endpoints that are not in `OPEN`."""
    found = g.identity
    assert isinstance(found, Identity)
    return found


def token_of(headers: Headers) -> str | None:
    """What was shown as proof, in `Authorization: Bearer` or `X-API-Key`."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("X-API-Key") or None


def client_address(scope: Any, headers: Headers, trusted_proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    """The address a request comes from: the peer, or what trusted proxies say of it.

    X-Forwarded-For is read from its end, where the proxy next to us wrote, up to the first address that is no trusted proxy:
    what stands before that anybody may have made up.
    """
    client = scope.get("client")
    address = str(client[0]) if client else ""
    forwarded = ",".join(headers.getlist("X-Forwarded-For")).split(",")
    while _is_trusted(address, trusted_proxies) and forwarded:
        candidate = forwarded.pop().strip()
        if not _is_address(candidate):
            break
        address = candidate
    return address


def network_of(address: str) -> str:
    """What one client is counted by: its IPv4 address, or its IPv6 /64, which is what one household or server gets."""
    if not _is_address(address):
        return address
    ip = ip_address(address)
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or IPv6Network((int(ip) >> 64 << 64, 64)))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(address: str, proxies: Sequence[IPv4Network | IPv6Network]) -> bool:
    return _is_address(address) and any(ip_address(address) in proxy for proxy in proxies)
