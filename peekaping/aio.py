"""The SDK for trio programs: the calls of `client.py` awaited, and the server's live events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import httpx
import trio

from peekaping import calls
from peekaping.calls import FILE, Answer, Call, Request, Session, T
from peekaping.events import EventStream
from peekaping.methods import OnTrio
from peekaping.resources import Server

CLOSE_WITHIN_S = 2.0


class AsyncPeekapingClient(Server[OnTrio]):
    """`PeekapingClient` for trio: the same calls, each a coroutine, and `events()`. Use it in an `async with`.

    A cancelled call may or may not have reached the server. Leaving the `async with` closes every connection.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        email: str | None = None,
        password: str | None = None,
        timeout_s: float = calls.TIMEOUT_S,
    ) -> None:
        super().__init__(self._complete)
        self._base_url = base_url
        self._session = Session(api_key, email, password, clock=trio.current_time)
        self._renewing = trio.Lock()
        self._http = httpx.AsyncClient(base_url=calls.api_url(base_url), timeout=timeout_s)
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        self._background = trio.open_nursery()
        self._nursery = await self._background.__aenter__()
        return self

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Awaitable[None]:
        return self._close()

    async def _close(self) -> None:
        # The nursery holds event streams alone, which hand their errors to whoever iterates. It is not told of the
        # caller's exception, which it would wrap into a group.
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel(reason="the client was closed")
        await self._background.__aexit__(None, None, None)
        with trio.move_on_after(CLOSE_WITHIN_S, shield=True):
            await self._http.aclose()

    def events(self) -> EventStream:
        """Live events, as dicts with `type` and `data`: `heartbeat`, `monitor_status`, `lagged`.

        `async for event in client.events()` goes on for ever: a broken connection is made again, with growing pauses.
        Each connection starts with a `connected` event; what happened between two of them is not sent again, so look at
        the monitors when you see one. Raises `ApiError` when the server refuses the login.
        """
        if self._nursery is None:
            raise RuntimeError("use the client in an `async with` first: events are received in the background")
        return EventStream(self._nursery, calls.websocket_url(self._base_url), self._token)

    async def _complete(self, call: Call[T]) -> T:
        return await _drive(call, self._send)

    async def _send(self, request: Request) -> Any:
        token = await self._token()
        answer = await self._exchange(request, token)
        if answer.status == 401 and self._session.can_renew:
            answer = await self._exchange(request, await self._token(token))
        return calls.read(answer)

    async def _token(self, rejected: str | None = None) -> str | None:
        async with self._renewing:
            return await _drive(self._session.token(rejected), self._exchange)

    async def _exchange(self, request: Request, token: str | None = None) -> Answer:
        try:
            sent = calls.built(self._http, request, token)
            async with aclosing(await self._http.send(sent, stream=True)) as response:
                if request.into is not None and calls.is_file(response):
                    async for part in response.aiter_bytes():
                        await trio.to_thread.run_sync(request.into.write, part)
                    return FILE
                await response.aread()
                return calls.received(response)
        except httpx.TransportError as error:
            raise calls.unreachable(self._base_url, error) from None


async def _drive(call: Generator[Request, Any, T], send: Callable[[Request], Awaitable[Any]]) -> T:
    try:
        request = next(call)
        while True:
            request = call.send(await send(request))
    except StopIteration as finished:
        result: T = finished.value
        return result
