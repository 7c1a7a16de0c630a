from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.support import Api, running, serving


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as api:
        yield api


@pytest.fixture
async def port(api: Api) -> AsyncIterator[int]:
    """Of the app on a real socket."""
    async with serving(api) as port:
        yield port
