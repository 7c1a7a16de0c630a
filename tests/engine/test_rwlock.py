"""The readers-writer lock."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from peekaping.engine.rwlock import ReadersWriterLock


class Scene:
    """Readers and writers that come when told, and who was within when."""

    def __init__(self) -> None:
        self.lock = ReadersWriterLock()
        self.within: dict[str, tuple[float, float]] = {}

    async def read(self, name: str, comes_at: float) -> None:
        await trio.sleep(comes_at)
        async with self.lock.reading():
            await self._stay(name)

    async def write(self, name: str, comes_at: float) -> None:
        await trio.sleep(comes_at)
        async with self.lock.writing():
            await self._stay(name)

    async def _stay(self, name: str) -> None:
        began = trio.current_time()
        await trio.sleep(10)
        self.within[name] = (began, trio.current_time())


async def test_readers_share_it_and_a_writer_has_it_alone_in_the_order_they_come(autojump_clock: MockClock) -> None:
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.read, "first", 0)
        nursery.start_soon(scene.read, "second", 1)
        nursery.start_soon(scene.write, "writer", 2)
        nursery.start_soon(scene.read, "third", 3)
        nursery.start_soon(scene.read, "fourth", 4)
    assert scene.within == {
        "first": (0, 10), "second": (1, 11), "writer": (11, 21), "third": (21, 31), "fourth": (21, 31),
    }  # fmt: skip


async def test_who_gives_up_leaves_it_as_it_was(autojump_clock: MockClock) -> None:
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.read, "reader", 0)
        for impatient in (scene.write, scene.read):
            with trio.move_on_after(1):
                await impatient("impatient", 0.5)
        nursery.start_soon(scene.write, "writer", 0)
    assert scene.within == {"reader": (0, 10), "writer": (10, 20)}
