"""Listens, and serves each connection on its own.

Not with `hypercorn.trio.serve`, whose connections share one nursery: there an exception in the protocol code of one connection
ends every other, so that whoever finds one such input keeps everybody out. Here a connection's failure is its own. The
accept loop is trio's, the shutdown is ours: clients that do not read are cut off, where Hypercorn would wait for them for ever.
"""

from __future__ import annotations

import errno
import logging
import math
import resource
import socket
import sys
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from peekaping.api.connection import Connection
from peekaping.api.exchange import App
from peekaping.api.turnstile import Turnstile

log = logging.getLogger(__name__)

BACKLOG = 1024
STALLED_CLIENT_MS = 30_000
"""A client that takes nothing for this long is dropped, by the kernel."""
KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds of silence until the kernel asks whether the client is there, seconds until it asks again, and how often."""
IDLE_S = 30.0
"""How long a connection may be without a request, and take to send the head of one."""
MOST_CONNECTIONS = 1000
"""At once; and never more than a quarter of the descriptors this process may have, because checks need them too."""
WARN_AGAIN_S = 60.0
"""How long nothing more is logged about those that find no place."""
GRACE_S = 1.0
"""At a stop: what running requests get to finish."""


class CannotListen(Exception):
    """The address cannot be listened on; the message is one line that says why and what to do."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address that `host` names; port 0 takes a free one, the same for all.

    Raises:
      CannotListen: nothing is left open.
    """
    try:
        if not 0 <= port <= 65535:
            raise CannotListen(f"cannot listen on port {port}; choose one between 0 and 65535")
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CannotListen(
            f"cannot listen on {host}: no such host ({error}); use an address of this machine, such as 127.0.0.1"
        ) from error
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            if sockets and port == 0:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sockets.append(_listening(family, kind, protocol, address))
            except OSError as error:
                # localhost names ::1 also where there is no IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
        if missing is not None and not sockets:
            raise missing
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise CannotListen(f"cannot listen on {host}:{port}: {_advice(error)}") from error
    return sockets


def _listening(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted sockets inherit all of these. Without NODELAY small answers and events wait for the client's delayed ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_CLIENT_MS)
        # A subscriber whose host has vanished would keep its place for ever. With the timeout above it is that, and not the
        # number of probes, after which the kernel drops a client that does not answer them.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is in use; stop what uses it or choose another port"
        case errno.EACCES:
            return "this user may not; choose a port from 1024 up"
        case errno.EADDRNOTAVAIL:
            return "no address of this machine; use one that is, such as 127.0.0.1"
        case _:
            return f"{error.strerror}; choose another host or port"


async def serve(
    app: App,
    sockets: list[socket.socket],
    *,
    stopping: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stopping` is set; then nothing is accepted any more and running requests get `GRACE_S`.

    The sockets, bound and listening, become this function's and are closed when it ends. When it is cancelled connections are
    cut at once.
    """
    config = _config()
    context = WorkerContext(None)
    turnstile = Turnstile()
    connections: set[Connection] = set()
    most = min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
    quiet_until = -math.inf

    async def serve_client(stream: trio.SocketStream) -> None:
        nonlocal quiet_until
        sock = socket.socket(fileno=stream.socket.detach())
        if len(connections) >= most or stopping.is_set():
            sock.close()
            if not stopping.is_set() and trio.current_time() >= quiet_until:
                quiet_until = trio.current_time() + WARN_AGAIN_S
                log.warning("all %d connections there may be are taken; others are refused", most)
            return
        sock.setblocking(False)
        connection = Connection(sock, app, config, context, turnstile)
        connections.add(connection)
        try:
            await connection.run()
        except Exception as error:  # a group, as a rule
            # One line: whoever finds an input that does this can do it a thousand times a second.
            log.warning("a connection failed, the others go on: %r", error)
        finally:
            connections.discard(connection)

    async def close_all(drain: trio.CancelScope) -> None:
        try:
            await stopping.wait()
            await trio.sleep(GRACE_S)
        finally:
            for connection in connections:
                connection.close()
            drain.cancel()

    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in sockets]
    async with trio.open_nursery() as outer:
        drain = trio.CancelScope()
        outer.start_soon(turnstile.run)
        outer.start_soon(close_all, drain)
        with drain:
            async with trio.open_nursery() as nursery:
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(
                        partial(trio.serve_listeners, serve_client, listeners, handler_nursery=nursery)
                    )
                    task_status.started()
                    await stopping.wait()
                    accepting.cancel_scope.cancel()
                await context.terminated.set()
                for connection in connections:
                    connection.finish()
        outer.cancel_scope.cancel()


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = log
    config.keep_alive_timeout = IDLE_S
    config.keep_alive_max_requests = sys.maxsize  # with the last one HTTP/2 would lose a request
    config.websocket_max_message_size = 64 * 1024
    config.include_server_header = False
    return config
