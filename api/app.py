"""Puts the app together. It owns nothing that lives: engine, database and sockets belong to whoever calls `create_app`."""

from __future__ import annotations

from collections.abc import Callable

import trio
from quart import Response
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from peekaping.api import gate, health, heartbeats, live, monitors, sessions, stats
from peekaping.api.auth import Sessions
from peekaping.api.errors import ApiError, translate
from peekaping.api.limits import LoginLimits
from peekaping.api.settings import ApiSettings
from peekaping.api.shapes import reply
from peekaping.engine.engine import Engine, utc_ms
from peekaping.engine.errors import EngineError
from peekaping.store.accounts import Accounts

LARGEST_BODY = 1024 * 1024


async def create_app(
    engine: Engine,
    accounts: Accounts,
    settings: ApiSettings,
    *,
    utc_ms: Callable[[], int] = utc_ms,
    stopping: trio.Event,
) -> QuartTrio:
    """The app, ready to be served. It needs no lifespan events.

    Args:
      utc_ms: the wall clock, in milliseconds since the epoch.
      stopping: set when the server stops; WebSockets then close with 1001.

    Raises:
      StoreFailed: when the database cannot be read.
    """
    logins = await Sessions.load(accounts, utc_ms())
    limits = LoginLimits((email.casefold(), address) for email, address in await accounts.known_addresses())
    app = QuartTrio("peekaping.api", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_BODY, PROPAGATE_EXCEPTIONS=False)
    app.url_map.merge_slashes = False  # it answers with a redirect, in HTML
    for kind in (ApiError, EngineError, HTTPException, trio.ClosedResourceError):
        app.register_error_handler(kind, _answer)
    gate.install(app, logins, settings, utc_ms)
    health.install(app, engine)
    for routes in (
        sessions.routes(accounts, logins, limits, utc_ms),
        monitors.routes(engine),
        heartbeats.routes(engine, utc_ms),
        stats.routes(engine),
    ):
        app.register_blueprint(routes, url_prefix="/api/v1")
    app.register_blueprint(live.routes(engine, logins, settings.ws_per_user, utc_ms, stopping))
    return app


async def _answer(error: Exception) -> Response:
    refusal = translate(error)
    response = reply({"error": refusal.shape()}, refusal.status)
    response.headers.update(refusal.headers)
    # It holds the frames that hold the request, its body and itself: a cycle, which only the collector could undo.
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return response
