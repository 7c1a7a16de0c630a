"""What every request passes: who is it, may they ask that often, may they ask for this; and the audit log's entry of a change.

Whom a route lets in stands beside it (`describe.py`). One that does not say is for operators alone, so that none is left open by
forgetting a line; so is the rule here that one workspace's monitors are not there for another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.datastructures import Headers

from peekaping.api.auditor import Auditor
from peekaping.api.bodies import no_query
from peekaping.api.describe import OPEN, OPERATOR, READ, description_of
from peekaping.api.errors import Unauthorized, too_many
from peekaping.api.identity import LOOKING, Identity, refusal
from peekaping.api.limits import RateLimits
from peekaping.api.settings import ApiSettings
from peekaping.engine.engine import Engine
from peekaping.engine.errors import NoSuchMonitor

Identify = Callable[[str, int], Awaitable[Identity]]
"""Whose a token or an API key is at a time; raises Unauthorized."""

PREFIX = "/api/v1"
LONGEST_TARGET = 200
"""Characters of a path in the audit log; those of paths that lead somewhere are fewer."""
OF_A_MONITOR = f"{PREFIX}/monitors/<id>"
UNCOUNTED = frozenset({"heartbeats.push", "health", "health_v1"})
"""Endpoints outside the rate limits: pushes have their own, health is asked by load balancers."""
PUBLIC_PAGES = frozenset({"status_pages.show", "status_page", "home", "icon"})


def install(
    app: QuartTrio,
    identify: Identify,
    engine: Engine,
    auditor: Auditor,
    settings: ApiSettings,
    utc_ms: Callable[[], int],
) -> None:
    """Put the gate before every route of the app, and the rate-limit headers on every answer."""
    limits = RateLimits(settings.rate_limit_per_hour, settings.rate_limit_per_minute)

    async def enter() -> None:
        now_ms = utc_ms()
        endpoint = request.endpoint
        g.address = client_address(request.scope, request.headers, settings.trusted_proxies)
        identity, why_not = None, Unauthorized("Log in, and send the access token as Authorization: Bearer")
        token = token_of(request.headers)
        if token is not None:
            try:
                identity = await identify(token, now_ms)
            except Unauthorized as error:
                why_not = error
        if endpoint not in UNCOUNTED:
            ruling = limits.take(_counted_as(identity, endpoint, g.address), now_ms)
            if ruling is not None:
                g.standing = ruling.shown
                if ruling.refused_until_ms is not None:
                    raise too_many("Too many requests", ruling.refused_until_ms - now_ms)
        g.identity = identity
        if endpoint is None:
            return  # the 404 or 405 that is coming says more than a 401
        description = description_of(app.view_functions[endpoint])
        needs = OPERATOR if description is None else description.needs
        if needs is OPEN:
            return
        if identity is None:
            raise why_not
        if (forbidden := refusal(identity, needs, request.method)) is not None:
            raise forbidden
        rule = str(request.url_rule)
        if rule.startswith(OF_A_MONITOR):
            id = (request.view_args or {})["id"]
            if engine.get(id).entry.workspace != identity.workspace:
                raise NoSuchMonitor(f"There is no monitor {id[:40]}")
        if request.method not in LOOKING and needs is not READ:
            action = f"{request.method} {rule.removeprefix(PREFIX)}"
            target = request.path.removeprefix(PREFIX)[:LONGEST_TARGET]
            g.audit_entry = await auditor.begin(identity, g.address, action, target, now_ms)
        if description is not None and description.query is None:
            no_query()

    async def leave(response: Response) -> Response:
        headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
        standing = g.get("standing")
        if standing is not None:
            headers += [
                ("X-RateLimit-Limit", str(standing.limit)),
                ("X-RateLimit-Remaining", str(standing.remaining)),
                ("X-RateLimit-Reset", str(-(-standing.reset_ms // 1000))),
            ]
        response.headers.extend(headers)
        if "audit_entry" in g:
            await auditor.finish(g.audit_entry, response)
        return response

    app.before_request(enter)
    app.after_request(leave)


def _counted_as(identity: Identity | None, endpoint: str | None, address: str) -> str:
    if identity is not None:
        return f"user-{identity.user}"
    # Apart: whoever looks at a page that is open to everybody must be able to log in as well.
    return f"page-{network_of(address)}" if endpoint in PUBLIC_PAGES else network_of(address)


def identity() -> Identity:
    """Who sent the present request; only for routes that are not OPEN."""
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
    forwarded = ",".join(headers.getlist("X-Forwarded-For")).split(",") if trusted_proxies else []
    while forwarded and _is_trusted(address, trusted_proxies):
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
