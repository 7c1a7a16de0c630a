"""A route that does nothing, on the same server as the API: `python -m bench.bare_app` prints its port."""

from __future__ import annotations

import trio
from quart import Response

from peekaping.api.exchange import WebApp
from peekaping.api.server import listen, serve


async def main() -> None:
    app = WebApp(__name__, static_folder=None)

    @app.get("/")
    async def nothing() -> Response:
        return Response(b"{}", content_type="application/json")

    sockets = listen("127.0.0.1", 0)
    print(sockets[0].getsockname()[1], flush=True)
    await serve(app, sockets, stopping=trio.Event())


if __name__ == "__main__":
    trio.run(main)
