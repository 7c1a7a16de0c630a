"""What is written and never shown: `MASK` stands for it, and sent back means the secret there is.

Secret are the fields that a kind names (`Monitor.secrets`), the headers that prove who one is, and those that a monitor names
in `secretHeaders`. Functions over a monitor's fields as JSON knows them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import httpx

MASK = "********"
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})


def secret_headers(named: Iterable[str]) -> frozenset[str]:
    """The names, in lower case, of the headers that are secret for a monitor that names these."""
    more = {name.lower() for name in named}
    return SECRET_HEADERS | more if more else SECRET_HEADERS  # thousands of monitors share the one


def masked(fields: Mapping[str, Any], secrets: frozenset[str]) -> dict[str, Any]:
    """The fields with `MASK` in the place of every secret."""
    shown: dict[str, Any] = {
        name: MASK if name in secrets and value is not None else value for name, value in fields.items()
    }
    if headers := shown.get("headers"):
        names = secret_headers(fields.get("secretHeaders") or ())
        shown["headers"] = {name: MASK if name.lower() in names else value for name, value in headers.items()}
    return shown


def changed(fields: Mapping[str, Any], changes: Mapping[str, Any], secrets: frozenset[str]) -> dict[str, Any]:
    """The fields after these changes. A secret that comes back masked, or is not mentioned, stays what it was.

    Who may change a monitor need not know its secrets. So none goes on to another destination, and no header is shown that was
    hidden: there `MASK` remains, which the rules of the fields refuse, and the secret must be given again.
    """
    after = {**masked(fields, secrets), **changes}
    kept = {name: fields[name] for name in secrets if after.get(name) == MASK and fields.get(name) is not None}
    moved = _destination({**after, **kept}) != _destination(fields)  # an address may itself be the secret
    if not moved:
        after.update(kept)
    if isinstance(after.get("headers"), dict):
        before = fields.get("headers") or {}
        hidden = _hidden_headers(fields)
        withheld = hidden if moved else hidden - _hidden_headers(after)
        after["headers"] = {
            name: before[name] if text == MASK and name in before and name.lower() not in withheld else text
            for name, text in after["headers"].items()
        }
    return after


def _hidden_headers(fields: Mapping[str, Any]) -> frozenset[str]:
    named = fields.get("secretHeaders")  # as somebody wrote it: the rules of the fields come later
    return secret_headers(name for name in (named if isinstance(named, Collection) else ()) if isinstance(name, str))


def _destination(fields: Mapping[str, Any]) -> tuple[object, ...]:
    """Where a monitor sends its secrets: an origin (RFC 6454), or a host and a port."""
    url = fields.get("url")
    try:
        parsed = httpx.URL(url) if isinstance(url, str) else None
    except (httpx.InvalidURL, ValueError):
        parsed = None
    origin = url if parsed is None else (parsed.scheme, parsed.raw_host, parsed.port)
    return origin, fields.get("host"), fields.get("port")
