"""A network that behaves as a test says, and an engine on it, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.message
import dns.name
import trio
from dns.rdatatype import RdataType

from peekaping.engine.engine import Engine
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.resolver import Found
from peekaping.engine.net.tls import Tls
from peekaping.engine.net.trace import CONNECT, Trace
from peekaping.engine.ports import Store
from peekaping.engine.records import Heartbeat, Status

EPOCH_MS = 1_700_000_000_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FAILING = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
REFUSED = Failed(Status.DOWN, "connection_refused", "Connection refused")

Step = bytes | float | Exception
"""What a connection does next: deliver bytes, wait seconds, fail. After the last step it ends."""


class ScriptedStream:
    """A connection that follows a script."""

    def __init__(self, steps: list[Step], network: ScriptedNetwork) -> None:
        self._steps = steps
        self._network = network
        self.sent = b""

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.sent += data
        self._network.requests.append(data)

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, bytes):
                return step
            if isinstance(step, Exception):
                raise step
            await trio.sleep(step)
        return b""

    def is_quiet(self) -> bool:
        return True  # it says nothing but to who listens

    def set_user_timeout(self, seconds: float) -> None:
        """Who follows a script acknowledges all."""

    def protocol(self) -> str | None:
        return None

    def certificate(self) -> bytes | None:
        return None

    def close(self) -> None:
        self._network.open -= 1


class ScriptedNetwork:
    """Connections to `host` follow `targets[host]`: steps, or a function that gives them anew for each connection.

    A script that begins with a failure fails to connect.
    """

    def __init__(self, **targets: list[Step] | Callable[[], list[Step]]) -> None:
        self.targets = dict(targets)
        self.open = 0
        self.connections: list[tuple[float, str, int, bool]] = []
        self.requests: list[bytes] = []

    async def find(self, host: str, *, ip_version: int | None = None) -> Found:
        await trio.lowlevel.checkpoint()
        return Found((host,))

    async def ask(self, name: dns.name.Name, kind: RdataType) -> dns.message.Message:
        raise NotImplementedError("DNS is tested against nameservers on loopback")

    def check_egress(self, address: str) -> None:
        """All is allowed."""

    async def connect(
        self, host: str, port: int, *, trace: Trace, tls: Tls | None = None, ip_version: int | None = None
    ) -> ScriptedStream:
        await trio.lowlevel.checkpoint()
        self.connections.append((trio.current_time(), host, port, tls is not None))
        target = self.targets[host]
        steps = list(target() if callable(target) else target)
        trace.enter(CONNECT)
        if steps and isinstance(steps[0], Exception):
            raise steps[0]
        self.open += 1
        return ScriptedStream(steps, self)

    def times(self, host: str) -> list[float]:
        """When `host` was connected to."""
        return [time for time, name, _, _ in self.connections if name == host]


def virtual_utc_ms() -> int:
    """The wall clock of virtual time."""
    return EPOCH_MS + round(trio.current_time() * 1000)


@asynccontextmanager
async def engine_on(
    network: ScriptedNetwork, store: Store | None = None, **options: Any
) -> AsyncGenerator[Engine, None]:
    """An engine on a scripted network and virtual time."""
    async with Engine.open(store, network=network, utc_ms=virtual_utc_ms, **options) as engine:
        yield engine


def http(host: str = "site", **fields: Any) -> dict[str, Any]:
    """The fields of a monitor of that host."""
    return {"type": "http", "name": host, "url": f"http://{host}/", "interval": 60_000, **fields}


async def collect(engine: Engine, count: int, *, then: Callable[[], Awaitable[None]] | None = None) -> list[Heartbeat]:
    """The next `count` heartbeats, live."""
    found: list[Heartbeat] = []
    with engine.subscribe() as live:
        if then is not None:
            await then()
        async for item in live:
            assert isinstance(item, Heartbeat)
            found.append(item)
            if len(found) == count:
                break
    return found
