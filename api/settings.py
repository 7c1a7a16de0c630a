"""What a deployment may set about the API. The server's settings and the command line fill it in."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import msgspec


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All spans are in the names; 0 switches a limit off."""

    admin_email: str | None = None
    """Of the user that an empty database gets; see `auth.ensure_first_user`."""
    admin_password: str | None = None
    rate_limit_per_hour: int = 1000
    rate_limit_per_minute: int = 100
    ws_per_user: int = 5
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Whose X-Forwarded-For is believed. Empty: nobody's, the peer of the connection is the client."""
    allowed_origins: tuple[str, ...] = ()
    """Of pages that may use the API from a browser beside this server's own, as browsers write them: `https://example.com`."""
