"""Connections for probes: a non-blocking socket, or one in TLS, with trio's readiness calls under it.

Why not trio's streams: on loopback a GET with a new connection costs 138 µs over them and 71 µs so, a TLS handshake 915 and
650 µs. What they guard against is met here by having one task, one reader and one request at a time.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Sequence

import trio
from trio.lowlevel import wait_readable, wait_writable

from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.failure import Failed, blame
from peekaping.engine.net.tls import refused
from peekaping.engine.records import Status

CHUNK = 65536
HEAD_START_S = 0.25


class Connection:
    """An open connection. Close it, whatever happens; closing never blocks."""

    __slots__ = ("_socket",)

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    async def open(cls, addresses: Sequence[str], port: int, guard: EgressGuard) -> Connection:
        """Connect to the first address that answers.

        Raises:
          Failed: when none did. A failure that is the target's says more than one that is ours: with an address family
            that this host has no route to, the other one's refusal is the verdict.
        """
        if len(addresses) == 1:
            return cls(await _connect(addresses[0], port, guard))
        return cls(await _race(addresses, port, guard))

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands and check the certificate against `host` as `context` says."""
        try:
            self._socket = sock = context.wrap_socket(
                self._socket, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        except OSError as error:  # it looks whether the connection still stands
            raise blame(error) from error
        while True:
            try:
                sock.do_handshake()
                return
            except ssl.SSLWantReadError:
                await wait_readable(sock)
            except ssl.SSLWantWriteError:
                await wait_writable(sock)
            except ssl.SSLCertVerificationError as error:
                raise refused(error, host) from error
            except ssl.SSLError as error:
                message = f"TLS handshake failed: {error.reason or error}"
                raise Failed(Status.DOWN, "tls_handshake", message) from error
            except OSError as error:
                raise blame(error) from error

    async def send(self, data: bytes) -> None:
        """Send everything."""
        sock = self._socket
        while True:
            try:
                sent = sock.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError):
                await wait_writable(sock)
            except ssl.SSLWantReadError:
                await wait_readable(sock)
            except OSError as error:
                raise _broken(error) from error
            else:
                if sent == len(data):
                    return
                data = data[sent:]

    async def receive(self) -> bytes:
        """What has arrived, at least one byte; empty at the end.

        Raises:
          Failed: also when a TLS connection ended without saying so (`connection_cut`): what was read may be less than was sent.
        """
        sock = self._socket
        if isinstance(sock, ssl.SSLSocket):
            await trio.lowlevel.checkpoint()  # one record may hold many reads, and a target may send without end
        else:
            await wait_readable(sock)
        while True:
            try:
                return sock.recv(CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                await wait_readable(sock)
            except ssl.SSLWantWriteError:
                await wait_writable(sock)
            except ssl.SSLZeroReturnError:
                return b""
            except OSError as error:
                raise _broken(error) from error

    def is_quiet(self) -> bool:
        """Whether nothing waits to be received; what does is lost, so that a connection that is not quiet must be closed."""
        try:
            self._socket.recv(1)  # not by readiness: in TLS what is there may be session tickets
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False

    def certificate(self) -> bytes | None:
        """The target's certificate in DER; None without TLS."""
        return self._socket.getpeercert(binary_form=True) if isinstance(self._socket, ssl.SSLSocket) else None

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


async def _race(addresses: Sequence[str], port: int, guard: EgressGuard) -> socket.socket:
    """Happy Eyeballs (RFC 8305, 5): an address has a head start of 250 ms over the next, none when it fails sooner."""
    won: list[socket.socket] = []
    failures: list[Failed] = []

    async def attempt(address: str, failed: trio.Event) -> None:
        try:
            won.append(await _connect(address, port, guard))
            nursery.cancel_scope.cancel()
        except Failed as error:
            failures.append(error)
            failed.set()

    try:
        async with trio.open_nursery() as nursery:
            for address in addresses:
                failed = trio.Event()
                nursery.start_soon(attempt, address, failed)
                with trio.move_on_after(HEAD_START_S):
                    await failed.wait()
        if won:
            return won.pop()
    finally:
        for late in won:  # two may answer in the same moment; and whoever waits may be cancelled
            late.close()
    try:
        raise next((failure for failure in failures if failure.status is Status.DOWN), failures[0])
    finally:
        failures.clear()  # or the exception holds this frame, which holds the exception


async def _connect(address: str, port: int, guard: EgressGuard) -> socket.socket:
    guard.check(address)
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise blame(error) from error
    try:
        sock.setblocking(False)
        code = sock.connect_ex((address, port))
        if code == errno.EINPROGRESS:
            # A near target has answered by the time the call returns: asking once more is a microsecond, waiting for
            # readiness is ten.
            code = sock.connect_ex((address, port))
            if code in (errno.EALREADY, errno.EINPROGRESS):
                await wait_writable(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code not in (0, errno.EISCONN):
            raise blame(OSError(code, ""))
    except OSError as error:
        sock.close()
        raise blame(error) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _broken(error: OSError) -> Failed:
    if isinstance(error, ssl.SSLEOFError):
        return Failed(Status.DOWN, "connection_cut", "The target ended the TLS connection without closing it")
    if isinstance(error, ssl.SSLError):
        return Failed(Status.DOWN, "tls_broken", f"The TLS connection broke: {error.reason or error}")
    return blame(error)
