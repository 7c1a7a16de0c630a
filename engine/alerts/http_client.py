"""HTTP for senders: an httpx client that connects as probes do: our resolver finds the address, the egress guard judges it.

httpx's own transport cannot be given a way to connect; httpcore below it can (`AsyncNetworkBackend`), so the transport here
puts the two together. The callers own the deadline: neither part has timeouts.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore
import httpx

from peekaping.engine.net.connection import Connection
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.tls import DEFAULT_TLS, Tls, context_for
from peekaping.engine.net.trace import Trace
from peekaping.engine.user_agent import USER_AGENT

MOST_READ = 65536
"""How many bytes of an answer are read, and a little more: services say "ok" or what is wrong."""


class AnswerBroken(Exception):
    """The other side spoke no HTTP, or stopped in the middle of it."""


class _Enough(Exception):
    """More has come than is read. Raised from below: an error cleans up httpcore's generators, who leaves a loop does not."""


def http_client(network: HostNetwork, tls: Tls = DEFAULT_TLS) -> httpx.AsyncClient:
    """A client for one trio run; close it. It follows no redirect, heeds no proxy, and keeps no connection and no cookie.

    What it raises is `Failed` where a connection could not be made or broke, else `AnswerBroken`.
    """
    return httpx.AsyncClient(
        transport=_Transport(network, tls),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        timeout=None,
    )


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, network: HostNetwork, tls: Tls) -> None:
        # No limit to connections: who sends is bounded for each channel, and a limit here would let dead ones hold up the rest.
        # Nor are any kept: alerts are rare, and a kept connection that has died looks like a service that has.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # not used, but to make httpcore's own takes 20 ms
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=_Backend(network, tls),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
        )
        try:
            response = await self._pool.handle_async_request(asked)
            body = await _begin_of(response)
            await response.aclose()  # an error has done so already
        except (_Enough, httpcore.ProtocolError, httpcore.NetworkError) as error:
            raise AnswerBroken(f"The answer is no HTTP or ends too soon ({type(error).__name__})") from error
        # Taken as it stands: what a server compresses though nobody asked for it is not worth the danger of unpacking it.
        headers = [(name, value) for name, value in response.headers if name.lower() not in _FRAMING]
        return httpx.Response(response.status, headers=headers, content=body)

    async def aclose(self) -> None:
        await self._pool.aclose()


_FRAMING = (b"content-encoding", b"content-length", b"transfer-encoding", b"set-cookie")


async def _begin_of(response: httpcore.Response) -> bytes:
    body = b""
    with suppress(_Enough):
        async for part in response.aiter_stream():
            body += part
    return body


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, network: HostNetwork, tls: Tls) -> None:
        self._network = network
        self._tls = tls

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._network.connect(host, port, trace=Trace()), self._tls)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, connection: Connection, tls: Tls) -> None:
        self._connection = connection
        self._tls = tls
        self._left = MOST_READ

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._left <= 0:
            raise _Enough
        data = await self._connection.receive()
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._connection.send(buffer)
        except Failed as failure:  # httpcore then looks for an answer: a server may refuse a body before it has come
            raise httpcore.WriteError(failure.message) from failure

    async def aclose(self) -> None:
        self._connection.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            await self._connection.start_tls(context_for(self._tls), (server_hostname or "").rstrip("."))
        except BaseException:
            self._connection.close()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        return None
