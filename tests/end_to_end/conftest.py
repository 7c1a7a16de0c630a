from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.support import Nginx, Server, Target, python_http_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    if server.process is not None:
        server.end(signal.SIGTERM)


@pytest.fixture(params=[Nginx, python_http_server])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    target = request.param(tmp_path)
    target.start()
    yield target
    target.stop()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Nginx]:
    """A fast target that keeps a log."""
    target = Nginx(tmp_path)
    target.start()
    yield target
    target.stop()


class Awaitable:
    """A blocking client, or a group of its calls, with its calls made awaitable, so that one scenario fits both clients."""

    def __init__(self, blocking: object) -> None:
        self._blocking = blocking

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._blocking, name)
        return partial(_in_thread, attribute) if callable(attribute) else Awaitable(attribute)


async def _in_thread(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return await trio.to_thread.run_sync(partial(function, *args, **options))


@pytest.fixture(params=["blocking", "trio"])
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Any]:
    """Each client of the SDK, logged in."""
    if request.param == "trio":
        async with server.async_client() as client:
            yield client
    else:
        with server.client() as blocking:
            yield Awaitable(blocking)
