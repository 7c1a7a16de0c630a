"""What a client library needs for a GET with a new connection: `python worker.py LIBRARY URL COUNT`.

Runs in an environment that has the library and nothing of this project. Prints one line of JSON: how many were answered with 200
and read to the end, and the CPU microseconds of the whole process for each, over requests made by 50 tasks at a time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

TASKS = 50
WARM_UP = 100

Get = Callable[[], Awaitable[int]]
Measure = Callable[[Get], Awaitable[None]]


async def with_httpx(url: str, measure: Measure) -> None:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, trust_env=False, headers={"Connection": "close"}) as client:

        async def get() -> int:
            return (await client.get(url)).status_code

        await measure(get)


async def with_httpcore(url: str, measure: Measure) -> None:
    import httpcore

    async with httpcore.AsyncConnectionPool(max_connections=None, max_keepalive_connections=0) as pool:

        async def get() -> int:
            return (await pool.request("GET", url, headers={"Connection": "close"})).status

        await measure(get)


async def with_aiohttp(url: str, measure: Measure) -> None:
    import aiohttp  # type: ignore[import-not-found, unused-ignore]  # it is in an environment of its own

    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def get() -> int:
            async with session.get(url) as answer:
                await answer.read()
                return int(answer.status)

        await measure(get)


async def with_asks(url: str, measure: Measure) -> None:
    import asks  # type: ignore[import-not-found, unused-ignore]

    async def get() -> int:
        return int((await asks.get(url)).status_code)

    await measure(get)


async def gather_on_trio(task: Callable[[], Awaitable[None]]) -> None:
    import trio

    async with trio.open_nursery() as nursery:
        for _ in range(TASKS):
            nursery.start_soon(task)


async def gather_on_asyncio(task: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(task() for _ in range(TASKS)))


LIBRARIES: dict[str, tuple[Any, Any]] = {
    "httpx": (with_httpx, gather_on_trio),
    "httpcore": (with_httpcore, gather_on_trio),
    "aiohttp": (with_aiohttp, gather_on_asyncio),
    "asks": (with_asks, gather_on_asyncio),  # the anyio it needs runs on no trio of today
}


def main(library: str, url: str, count: int) -> None:
    """Measure and print."""
    use, gather = LIBRARIES[library]
    good, cpu_s = 0, 0.0

    async def measure(get: Get) -> None:
        nonlocal good, cpu_s
        for requests in (WARM_UP, count):
            left, good = requests, 0

            async def work() -> None:
                nonlocal left, good
                while left > 0:
                    left -= 1
                    answered = await get() == 200
                    good += answered  # not in one line with the await: others count meanwhile

            began = time.process_time()
            await gather(work)
            cpu_s = time.process_time() - began

    if gather is gather_on_trio:
        import trio

        trio.run(use, url, measure)
    else:
        asyncio.run(use(url, measure))
    print(json.dumps({"good": good, "cpuUs": cpu_s / count * 1e6}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
