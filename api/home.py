"""/, for who opens the server in a browser: what this is, and what to do first. And the icon that browsers ask for.

It says the same to everybody. Which status pages are published is for those to tell who publish them.
"""

from __future__ import annotations

from importlib.metadata import version

from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.sansio.utils import get_host

from peekaping.api.describe import OPEN, described
from peekaping.api.pages import page

VERSION = version("peekaping")  # looked up in a file
ICON = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#17692f"/>\
<path d="M2 9h3l2-5 2 8 2-3h3" fill="none" stroke="#fff" stroke-width="1.5" stroke-linejoin="round"/></svg>
"""


def install(app: QuartTrio) -> None:
    """Serve the page and the icon."""

    @app.get("/")
    @described("Show where to start", needs=OPEN, answers={200: "text/html"})
    async def home() -> Response:
        return page("home.html", version=VERSION, here=_here())

    @app.get("/favicon.ico")
    @described("Show the icon", needs=OPEN, answers={200: "image/svg+xml"})
    async def icon() -> Response:
        return Response(ICON, content_type="image/svg+xml")


def _here() -> str:
    """This server's address as the browser has it; the socket's own where `Host` is none, which leaves it empty."""
    if not request.host:
        return f"{request.scheme}://{get_host(request.scheme, None, request.server)}"
    # A proxy in front of us may have ended TLS. Whoever makes the header up fools nobody else.
    scheme = "https" if request.headers.get("X-Forwarded-Proto") == "https" else request.scheme
    return f"{scheme}://{request.host}"
