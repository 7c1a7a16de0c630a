"""Which pages of other origins may use the API from a browser: CORS, for dashboards that are served elsewhere.

It lets nobody in: a token does, which a page must have. Cookies are not used, so that credentials need no allowing.

quart-cors was the alternative. It leaves a preflight to the routes, where it is refused for want of the token that browsers
never send with one, and it refuses the WebSockets of clients that are no browsers, since those name no origin.
"""

from __future__ import annotations

from collections.abc import Collection

from quart import Response, request
from quart_trio import QuartTrio

from peekaping.api.shapes import nothing

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-API-Key",
    "Access-Control-Max-Age": "7200",  # s; browsers keep it no longer
}
EXPOSED = "Content-Disposition, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"


def install(app: QuartTrio, origins: Collection[str]) -> None:
    """To be called before the gate is put there: a preflight has no token."""
    if not origins:
        return

    async def enter() -> Response | None:
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not is_preflight or request.headers.get("Origin") not in origins:
            return None
        response = nothing()
        response.headers.update(PREFLIGHT)
        return response

    async def leave(response: Response) -> Response:
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
        return response

    app.before_request(enter)
    app.after_request(leave)
