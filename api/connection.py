"""One client's connection: bytes between its socket and Hypercorn's protocols.

Hypercorn's own half of this (`hypercorn.trio.tcp_server`) starts and cancels a task whenever a connection becomes idle, sends
the head and the body of an answer each alone, and waits without a deadline for clients that do not read. For a small request
that was half of the work.
"""

from __future__ import annotations

import math
import socket
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h11 import H2ProtocolAssumedError
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr
from trio.lowlevel import notify_closing, wait_readable, wait_writable

from peekaping.api import protocols
from peekaping.api.exchange import App
from peekaping.api.protocols import Http1, Http2
from peekaping.api.requests import Requests
from peekaping.api.turnstile import Turnstile

MOST_READ = 2**12
"""In one turn: 64 KiB of a WebSocket's pings made checks 130 ms late."""
AFTER_THE_END_S = 2.0
"""How long a request goes on when the client will send nothing more. It may still read, or be gone: that looks the same."""


class Connection:
    """Serves one client.

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
        self._scope = trio.CancelScope()
        """All that is done for this client."""
        self._sending = trio.Lock()

    async def run(self) -> None:
        """Serve until the client goes, does nothing for too long, or `finish` or `close` is called."""
        try:
            client = parse_socket_addr(self._socket.family, self._socket.getpeername())
            server = parse_socket_addr(self._socket.family, self._socket.getsockname())
            with self._scope:
                async with trio.open_nursery() as nursery:
                    requests = Requests(nursery, self._scope, self._turnstile, self._config.keep_alive_timeout)
                    parts = (
                        self._app, self._config, self._context, requests, ConnectionState({}), False,
                        client, server, self._pass_on,
                    )  # fmt: skip
                    await self._read(requests, parts)
                    nursery.cancel_scope.cancel()
        except OSError:
            pass  # gone before it was served
        finally:
            self.close()

    def finish(self) -> None:
        """Let the running request finish, and serve no other."""
        if self._scope.deadline < math.inf:
            self._scope.cancel()

    def close(self) -> None:
        """Close the socket, and end all that is done for the client. Whoever waits for it is woken, shielded or not."""
        self._scope.cancel()
        if self._socket.fileno() >= 0:
            notify_closing(self._socket)
            self._socket.close()

    async def _read(self, requests: Requests, parts: tuple[Any, ...]) -> None:
        """Read until the client has ended its side, and its request the answer; `parts` is what a protocol is made of."""
        protocol: Http1 | Http2 = Http1(*parts)
        while self._socket.fileno() >= 0:
            try:
                await wait_readable(self._socket)
                data = self._socket.recv(MOST_READ)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                return
            await requests.turn()
            try:
                await protocol.handle(RawData(data))
            except H2ProtocolAssumedError as assumed:
                protocol = Http2(*parts)
                await protocol.initiate()
                await protocol.handle(RawData(assumed.data))
            if not data:
                break
        if isinstance(protocol, Http1) and protocol.is_answering:
            await trio.sleep(AFTER_THE_END_S)

    async def _pass_on(self, event: Event) -> None:
        """What the protocol has for the client."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            self.close()

    async def _write(self, data: bytes) -> None:
        try:
            if not self._sending.locked():
                data = self._write_now(data)
            if data:
                # Shielded, because half a frame or half a chunk would spoil what comes after it.
                with trio.fail_after(protocols.SEND_WITHIN_S, shield=True):
                    async with self._sending:
                        while data and self._socket.fileno() >= 0:  # closed while this one waited for its turn
                            await wait_writable(self._socket)
                            data = self._write_now(data)
        except (OSError, trio.ClosedResourceError, trio.TooSlowError):
            self.close()

    def _write_now(self, data: bytes) -> bytes:
        """Gives back what is left."""
        try:
            return data[self._socket.send(data) :]
        except BlockingIOError:
            return data
