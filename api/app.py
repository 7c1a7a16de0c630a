"""Puts the app together. It owns nothing that lives: engine, database and sockets belong to whoever calls `create_app`."""

from __future__ import annotations

from collections.abc import Callable

import trio
from quart import Response, has_request_context, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from peekaping.api import (
    access,
    channels,
    cors,
    export,
    health,
    heartbeats,
    home,
    incidents,
    live,
    monitors,
    public_page,
    reference,
    stats,
    status_pages,
)
from peekaping.api.errors import ApiError, translate
from peekaping.api.exchange import WebApp
from peekaping.api.pages import page
from peekaping.api.settings import ApiSettings
from peekaping.api.shapes import reply
from peekaping.engine.clock import utc_ms
from peekaping.engine.engine import Engine
from peekaping.engine.errors import EngineError
from peekaping.store.database import Database
from peekaping.store.incidents import Incidents
from peekaping.store.status_pages import StatusPages

LARGEST_BODY = 1024 * 1024


async def create_app(
    engine: Engine,
    database: Database,
    settings: ApiSettings,
    *,
    utc_ms: Callable[[], int] = utc_ms,
    stopping: trio.Event,
) -> QuartTrio:
    """The app, ready to be served. It needs no lifespan events.

    Args:
      database: where the API keeps what is its own: accounts, status pages, incidents.
      utc_ms: the wall clock, in milliseconds since the epoch.
      stopping: set when the server stops; WebSockets then close with 1001.

    Raises:
      StoreFailed: when the database cannot be read.
    """
    pages, found_incidents = StatusPages(database), Incidents(database)
    public = public_page.PublicPages(engine, pages, found_incidents, utc_ms)
    app = WebApp("peekaping.api", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_BODY, PROPAGATE_EXCEPTIONS=False)
    app.url_map.merge_slashes = False  # it answers with a redirect, in HTML
    for kind in (ApiError, EngineError, HTTPException, trio.ClosedResourceError):
        app.register_error_handler(kind, _refused)
    cors.install(app, settings.allowed_origins)
    identify, endings = await access.install(app, engine, database, settings, utc_ms)
    health.install(app, engine)
    for routes in (
        monitors.routes(engine),
        heartbeats.routes(engine, utc_ms),
        channels.routes(engine),
        stats.routes(engine),
        export.routes(engine),
        incidents.routes(engine, found_incidents, utc_ms),
        status_pages.routes(engine, pages, public, utc_ms),
    ):
        app.register_blueprint(routes, url_prefix="/api/v1")
    home.install(app)
    reference.install(app)
    public_page.install(app, public)
    app.register_blueprint(
        live.routes(engine, identify, endings, settings.ws_per_user, utc_ms, stopping, settings.allowed_origins)
    )
    return app


async def _refused(error: Exception) -> Response:
    refusal = translate(error)
    if _is_for_people():
        response = page("refusal.html", refusal.status, code=refusal.status, message=refusal.message)
    else:
        response = reply({"error": refusal.shape()}, refusal.status)
    response.headers.update(refusal.headers)
    # It holds the frames that hold the request, its body and itself: a cycle, which only the collector could undo.
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return response


def _is_for_people() -> bool:
    """Whether a browser asked for a page."""
    if not has_request_context() or request.path.startswith("/api/"):
        return False
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
