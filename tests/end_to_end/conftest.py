from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

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
