"""A lock that many readers may hold at once, or one writer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


class ReadersWriterLock:
    """Who comes first goes first, readers that come together beside each other: nobody waits for ever."""

    def __init__(self) -> None:
        self._door = trio.Lock()
        """Readers pass it, a writer stands in it."""
        self._readers = 0
        self._nobody_reads = trio.Event()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[None, None]:
        async with self._door:
            self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._nobody_reads.set()

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None, None]:
        async with self._door:
            while self._readers:
                self._nobody_reads = trio.Event()
                await self._nobody_reads.wait()
            yield
