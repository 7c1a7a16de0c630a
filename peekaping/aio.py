"""The SDK for trio programs: the calls of `client.py` awaited, and the server's live events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self

import httpx
import trio

from peekaping import calls
from peekaping.calls import Answer, Call, JsonObject, JsonObjects, Request, Session, T
from peekaping.events import EventStream

CLOSE_WITHIN_S = 2.0


class AsyncPeekapingClient:
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
        self._base_url = base_url
        self._session = Session(api_key, email, password, clock=trio.current_time)
        self._renewing = trio.Lock()
        self._http = httpx.AsyncClient(base_url=calls.api_url(base_url), timeout=timeout_s)
        self._nursery: trio.Nursery | None = None
        self.monitors = AsyncMonitors(self)

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

    async def overview(self) -> JsonObject:
        """Counts, checks and uptime over all monitors."""
        return await self._run(calls.overview())

    async def push(
        self, push_id: str, *, status: str = "up", message: str | None = None, ping: int | None = None
    ) -> JsonObject:
        """Send the heartbeat of a push monitor (`ping` in ms); needs no login, the id is the secret."""
        return await self._run(calls.push(push_id, status, message, ping))

    async def _run(self, call: Call[T]) -> T:
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
            return calls.received(await self._http.request(**calls.sent(request, token)))
        except httpx.TransportError as error:
            raise calls.unreachable(self._base_url, error) from None


class AsyncMonitors:
    """`client.monitors`. Monitors, heartbeats and statistics are dicts as the API gives them."""

    def __init__(self, client: AsyncPeekapingClient) -> None:
        self._run = client._run

    async def list(self, *, type: str | None = None, status: str | None = None) -> JsonObjects:
        """All monitors, oldest first; follows the pages, one request for each hundred."""
        return await self._run(calls.list_monitors(type, status))

    async def create(self, monitor: Mapping[str, Any]) -> JsonObject:
        """Create a monitor from the API's fields (`name`, `type`, `url`, ...); gives it back as the server keeps it."""
        return await self._run(calls.create_monitor(monitor))

    async def get(self, id: str) -> JsonObject:
        """The monitor with its status and its last check."""
        return await self._run(calls.get_monitor(id))

    async def update(self, id: str, changes: Mapping[str, Any]) -> JsonObject:
        """Change the given fields and leave the others; gives back the whole monitor."""
        return await self._run(calls.update_monitor(id, changes))

    async def delete(self, id: str) -> None:
        """Delete the monitor and its history."""
        await self._run(calls.delete_monitor(id))

    async def pause(self, id: str) -> JsonObject:
        """Stop checking until `resume`; gives back the monitor."""
        return await self._run(calls.pause_monitor(id))

    async def resume(self, id: str) -> JsonObject:
        """Check again; gives back the monitor."""
        return await self._run(calls.resume_monitor(id))

    async def heartbeats(
        self,
        id: str,
        *,
        from_: datetime | date | str | None = None,
        to: datetime | date | str | None = None,
        limit: int | None = None,
    ) -> JsonObjects:
        """The newest heartbeats with `from_ <= timestamp < to`, newest first; `limit` is the server's when None."""
        return await self._run(calls.heartbeats(id, from_, to, limit))

    async def stats(self, id: str, period: str = "24h") -> JsonObject:
        """Uptime and response times over `24h`, `7d`, `30d` or `90d`."""
        return await self._run(calls.stats(id, period))


async def _drive(call: Generator[Request, Any, T], send: Callable[[Request], Awaitable[Any]]) -> T:
    try:
        request = next(call)
        while True:
            request = call.send(await send(request))
    except StopIteration as finished:
        result: T = finished.value
        return result
