"""/openapi.json, and /docs, the page that shows it to people."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import trio
from quart import Response
from quart_trio import QuartTrio

from peekaping.api.describe import OPEN, described
from peekaping.api.errors import CODES
from peekaping.api.openapi import document
from peekaping.api.pages import filled, shown


class Texts(NamedTuple):
    """The document as it is sent."""

    json: bytes
    html: bytes


def install(app: QuartTrio) -> None:
    """Serve the document, and a page to read it.

    They are made once, when somebody asks first: all routes are there then. In a thread, since it takes a third of a second, in
    which checks go on.
    """
    made: list[Texts] = []
    making = trio.Lock()

    async def texts() -> Texts:
        async with making:
            if not made:
                made.append(await trio.to_thread.run_sync(_texts, app))
        return made[0]

    @described("Show this document", needs=OPEN, answers={200: dict[str, Any]})
    async def openapi() -> Response:
        return Response((await texts()).json, content_type="application/json")

    @described("Show this document as a page", needs=OPEN, answers={200: "text/html"})
    async def reference() -> Response:
        return shown((await texts()).html)

    app.add_url_rule("/openapi.json", "openapi", openapi)
    app.add_url_rule("/docs", "docs", reference)


def _texts(app: QuartTrio) -> Texts:
    made = document(app)
    html = filled("reference.html", document=made, groups=_by_tag(made), codes=CODES)
    return Texts(msgspec.json.encode(made), html.encode())


def _by_tag(made: dict[str, Any]) -> dict[str, list[tuple[str, str, Any]]]:
    groups: dict[str, list[tuple[str, str, Any]]] = {}
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append((method, path, operation))
    return groups
