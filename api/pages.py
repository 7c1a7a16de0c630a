"""Pages for people: HTML made here, of templates in `templates/`, without a script and without anything from another host."""

from __future__ import annotations

from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from quart import Response

_environment = Environment(
    loader=PackageLoader("peekaping.api"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_environment.filters["json"] = lambda value: msgspec.json.encode(value).decode()  # to be read, not to be run

# What a page may load is decided by its policy, not by our care: the styles in it, the icon of this server, and nothing else.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A template filled with these values, each of them escaped."""
    return shown(filled(template, **values), status)


def filled(template: str, **values: Any) -> str:
    """The same as a text, for those who keep it."""
    return _environment.get_template(template).render(values)


def shown(text: str | bytes, status: int = 200) -> Response:
    response = Response(text, status, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    return response
