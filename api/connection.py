"""One client's connection: bytes between its socket and Hypercorn's protocols, and a task for each request.

Hypercorn's own half of this (`hypercorn.trio.tcp_server`) starts and cancels a task whenever a connection becomes idle, sends
the head and the body of an answer each alone, and waits without a deadline for clients that do not read. For a small request
that was half of the work.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr
from trio.lowlevel import notify_closing, wait_readable, wait_writable

from peekaping.api.exchange import App, Exchange, Message, Send
from peekaping.api.turnstile import Turnstile

MOST_READ = 2**16
SEND_WITHIN_S = 60.0
"""What a client may take for one part of an answer; the kernel drops one that takes nothing at all sooner."""


class Connection:
    """Serves one client. To Hypercorn's protocols it is the task group in which they start requests.

    Args:
      sock: connected and non-blocking; it becomes this object's.
    """

    def __init__(
        self, sock: socket.socket, app: App, config: Config, context: WorkerContext, turnstile: Turnstile
    ) -> None:
        self._socket = sock
        self._app = app
        self._config = config
        self._context = context
        self._turnstile = turnstile
        self._waiting_for_head = trio.CancelScope()
        """Its deadline is that of the next request's head, none while a request runs."""
        self._sending = trio.Lock()
        self._holds = False
        self._held = b""
        """The head of an answer, to be sent with its body."""
        self._nursery: trio.Nursery
        self._protocol: ProtocolWrapper

    async def run(self) -> None:
        """Serve until the client goes, does nothing for too long, or `stop` or `cut` is called."""
        try:
            client = parse_socket_addr(self._socket.family, self._socket.getpeername())
            server = parse_socket_addr(self._socket.family, self._socket.getsockname())
            async with trio.open_nursery() as self._nursery:
                self._protocol = ProtocolWrapper(
                    cast(Any, self._app), self._config, self._context, cast(Any, self), ConnectionState({}), False,
                    client, server, self._take,
                )  # fmt: skip
                await self._protocol.initiate()
                self._becomes(idle=True)
                with self._waiting_for_head:
                    await self._read()
                await self._protocol.handle(Closed())
                self._nursery.cancel_scope.cancel()
        except OSError:
            pass  # gone before it was served
        finally:
            self.cut()

    def stop(self) -> None:
        """Let the running request finish, and serve no other."""
        if self._waiting_for_head.deadline < math.inf:
            self._waiting_for_head.cancel()

    def cut(self) -> None:
        """Close the socket. Whoever waits for the client is woken, shielded or not."""
        if self._socket.fileno() >= 0:
            notify_closing(self._socket)
            self._socket.close()

    async def _read(self) -> None:
        while self._socket.fileno() >= 0:
            try:
                await wait_readable(self._socket)
                data = self._socket.recv(MOST_READ)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                return
            await self._turnstile.enter()
            await self._protocol.handle(RawData(data))
            if not data:
                return

    async def _take(self, event: Event) -> None:
        """What the protocol has for the client."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Updated):
            self._becomes(idle=event.idle)
        elif isinstance(event, Closed):
            self.cut()
            await self._protocol.handle(Closed())

    def _becomes(self, *, idle: bool) -> None:
        timeout_s = self._config.keep_alive_timeout if idle else math.inf
        self._waiting_for_head.deadline = trio.current_time() + timeout_s

    async def _write(self, data: bytes) -> None:
        data, self._held = self._held + data, b""
        if self._holds:
            self._held = data
            return
        try:
            if not self._sending.locked():
                data = self._write_now(data)
            if data:
                # Shielded, because half a frame or half a chunk would spoil what comes after it.
                with trio.fail_after(SEND_WITHIN_S, shield=True):
                    async with self._sending:
                        while data:
                            await wait_writable(self._socket)
                            data = self._write_now(data)
        except (OSError, trio.ClosedResourceError, trio.TooSlowError):
            self.cut()
            await self._protocol.handle(Closed())

    def _write_now(self, data: bytes) -> bytes:
        """Gives back what is left."""
        try:
            return data[self._socket.send(data) :]
        except BlockingIOError:
            return data

    # What protocols ask of a task group.

    def spawn(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        self._nursery.start_soon(function, *args)

    async def spawn_app(self, app: App, config: Config, scope: Any, send: Send) -> Callable[[Message], Awaitable[None]]:
        """Start a request; gives back what takes the client's messages for it."""

        async def send_head(message: Message) -> None:
            self._holds = True
            try:
                await send(message)
            finally:
                self._holds = False

        exchange = Exchange(send, send_head)
        self._nursery.start_soon(self._run, exchange, app, scope)
        return exchange.put

    async def _run(self, exchange: Exchange, app: App, scope: Any) -> None:
        await exchange.run(app, scope)
        if scope["type"] == "websocket" and scope["http_version"] == "1.1":
            self.cut()  # after a handshake that it refused the protocol would leave it open
