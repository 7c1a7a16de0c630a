"""Connections for probes: a non-blocking socket, or one in TLS, and `readiness.py` under it.

Why not trio's streams: on loopback a GET with a new connection costs 138 µs over them and 71 µs so, a TLS handshake 915 and
650 µs. What they guard against is met here by having one task, one reader and one request at a time.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path

import trio

from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.failure import Failed, blame, blame_the_way
from peekaping.engine.net.readiness import READ, WRITE, Readiness, readiness
from peekaping.engine.net.tls import refused
from peekaping.engine.records import Status

CHUNK = 65536
HEAD_START_S = 0.25
LAST_WORD_S = 0.05
"""Left of the deadline for saying why a connection that may still come is given up."""
LONGEST_USER_TIMEOUT_S = 86_400.0

Late = Callable[[], Awaitable[Sequence[str]]]
"""Gives the addresses of the family that was not known in time."""


class Connection:
    """An open connection. Close it, whatever happens; closing never blocks."""

    __slots__ = ("_is_drained", "_number", "_readiness", "_socket")

    def __init__(self, sock: socket.SocketType, readiness: Readiness) -> None:
        self._socket = sock
        self._number = sock.fileno()
        self._readiness = readiness
        readiness.forget(self._number)  # should it be a lost connection's, whose watch would keep this one asleep
        self._is_drained = True
        """Whether what comes next to be received will be noticed: the kernel had nothing, and nobody has waited since."""

    @classmethod
    async def open(
        cls, addresses: Sequence[str], port: int, guard: EgressGuard, late: Late | None = None
    ) -> Connection:
        """Connect to the first address that answers; `late` is asked for more when none of them has in its turn.

        Raises:
          Failed: when none did. A failure that is the target's says more than one that is ours: with an address family
            that this host has no route to, the other one's refusal is the verdict.
        """
        if len(addresses) == 1 and late is None:
            return await _connect(addresses[0], port, guard)
        return await _race(addresses, port, guard, late)

    async def connect(self, address: str, port: int) -> None:
        """Connect; raises Failed."""
        sock = self._socket
        try:
            code = at_once = sock.connect_ex((address, port))
            if at_once == errno.EINPROGRESS:
                # A near target has answered by the time the call returns: asking once more is a microsecond.
                code = sock.connect_ex((address, port))
                while code in (errno.EALREADY, errno.EINPROGRESS):
                    await self._wait(READ | WRITE)
                    code = sock.connect_ex((address, port))
            # Where nobody listens, TCP connects a socket with itself that was given the very port it calls (RFC 9293, 3.5).
            if code == 0 and port >= _lowest_ephemeral_port() and sock.getsockname()[1] == port:
                code = errno.ECONNREFUSED if sock.getsockname() == sock.getpeername() else 0
        except OSError as error:
            raise blame(error) from error
        if code not in (0, errno.EISCONN):
            said = OSError(code, "")
            raise blame_the_way(said, address) if at_once == errno.EINPROGRESS else blame(said)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands and check the certificate against `host` as `context` says."""
        try:
            self._socket = sock = context.wrap_socket(
                self._socket,  # type: ignore[arg-type]  # its base class is enough
                server_hostname=host,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
        except OSError as error:  # it looks whether the connection still stands
            raise blame(error) from error
        while True:
            try:
                sock.do_handshake()
                self._is_drained = False
                return
            except ssl.SSLWantReadError:
                await self._wait(READ)
            except ssl.SSLWantWriteError:
                await self._wait(WRITE)
            except ssl.SSLCertVerificationError as error:
                raise refused(error, host) from error
            except ssl.SSLError as error:
                message = f"TLS handshake failed: {error.reason or error}"
                raise Failed(Status.DOWN, "tls_handshake", message) from error
            except OSError as error:
                raise blame_the_way(error) from error

    async def send(self, data: bytes) -> None:
        """Send everything."""
        sock = self._socket
        rest: bytes | memoryview = data
        while True:
            try:
                sent = sock.send(rest)
            except (BlockingIOError, ssl.SSLWantWriteError):
                await self._wait(WRITE)
            except ssl.SSLWantReadError:
                await self._wait(READ)
            except OSError as error:
                raise _broken(error) from error
            else:
                if sent == len(rest):
                    return
                rest = memoryview(rest)[sent:]  # no copy: TLS takes 16 kB at once

    async def receive(self) -> bytes:
        """What has arrived, at least one byte; empty at the end.

        Raises:
          Failed: also when a TLS connection ended without saying so (`connection_cut`): what was read may be less than was sent.
        """
        if self._is_drained:
            await self._wait(READ)
        else:
            await trio.lowlevel.checkpoint()  # a target may send without end
        while True:
            try:
                data = self._socket.recv(CHUNK)
                self._is_drained = False
                return data
            except (BlockingIOError, ssl.SSLWantReadError):
                await self._wait(READ)
            except ssl.SSLWantWriteError:
                await self._wait(WRITE)
            except ssl.SSLZeroReturnError:
                return b""
            except OSError as error:
                raise _broken(error) from error

    def is_quiet(self) -> bool:
        """Whether nothing waits to be received; what does is lost, so that a connection that is not quiet must be closed."""
        try:
            self._socket.recv(1)  # not by readiness: in TLS what is there may be session tickets
        except (BlockingIOError, ssl.SSLWantReadError):
            self._is_drained = True
            return True
        except OSError:
            pass
        return False

    def set_user_timeout(self, seconds: float) -> None:
        """Fail when the target's host has not acknowledged for so long what was sent (RFC 5482)."""
        milliseconds = max(1, round(min(seconds, LONGEST_USER_TIMEOUT_S) * 1000))  # 0 is the system's own
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def protocol(self) -> str | None:
        """What ALPN agreed on; None where nothing was, and without TLS."""
        return self._socket.selected_alpn_protocol() if isinstance(self._socket, ssl.SSLSocket) else None

    def certificate(self) -> bytes | None:
        """The target's certificate in DER; None without TLS."""
        return self._socket.getpeercert(binary_form=True) if isinstance(self._socket, ssl.SSLSocket) else None

    async def _wait(self, what: int) -> None:
        self._is_drained = False  # what wakes us may be the last news of several things
        await self._readiness.wait(self._number, what)

    def close(self) -> None:
        """Let go of the socket."""
        self._readiness.forget(self._number)
        self._socket.close()


async def _race(addresses: Sequence[str], port: int, guard: EgressGuard, late: Late | None) -> Connection:
    """Happy Eyeballs (RFC 8305, 5): an address has a head start of 250 ms over the next, none when it fails sooner."""
    won: list[Connection] = []
    failures: list[Failed] = []
    unsure: list[Failed] = []
    """Why nobody knows whether there is another address, which would have answered."""

    async def attempt(address: str, failed: trio.Event) -> None:
        try:
            won.append(await _connect(address, port, guard))
            nursery.cancel_scope.cancel()
        except Failed as error:
            failures.append(error)
            failed.set()

    async def attempt_each(addresses: Sequence[str]) -> None:
        for address in addresses:
            failed = trio.Event()
            nursery.start_soon(attempt, address, failed)
            with trio.move_on_after(HEAD_START_S):
                await failed.wait()

    try:
        async with trio.open_nursery() as nursery:
            await attempt_each(addresses)
            if late is not None:
                try:
                    await attempt_each(await late())
                except Failed as failure:
                    unsure.append(failure)
                    nursery.cancel_scope.deadline = trio.current_effective_deadline() - LAST_WORD_S
        if won:
            return won.pop()
        if unsure:
            raise unsure[0]
        raise next((failure for failure in failures if failure.status is Status.DOWN), failures[0])
    finally:
        for loser in won:  # two may answer in the same moment; and whoever waits may be cancelled
            loser.close()
        failures.clear()  # or an exception holds a frame that holds the exception
        unsure.clear()


async def _connect(address: str, port: int, guard: EgressGuard) -> Connection:
    guard.check(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        ready = readiness()
        # The class under `socket.socket`, which does not block from its birth on: less work for each check.
        connection = Connection(socket.SocketType(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK), ready)
    except OSError as error:
        raise blame(error) from error
    try:
        await connection.connect(address, port)
    except BaseException:
        connection.close()
        raise
    return connection


def _broken(error: OSError) -> Failed:
    if isinstance(error, ssl.SSLEOFError):
        return Failed(Status.DOWN, "connection_cut", "The target ended the TLS connection without closing it")
    if isinstance(error, ssl.SSLError):
        return Failed(Status.DOWN, "tls_broken", f"The TLS connection broke: {error.reason or error}")
    return blame_the_way(error)


@cache
def _lowest_ephemeral_port() -> int:
    """From where on this host's own ports may be anything (ip(7)); read once."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 1024
