"""The SDK for ordinary programs: blocking calls to a Peekaping server. `aio.py` has the same for trio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self

import httpx

from peekaping import calls
from peekaping.calls import Answer, Call, JsonObject, JsonObjects, Request, Session, T


class PeekapingClient:
    """A Peekaping server, over its REST API; usable from several threads. Use it in a `with`, or call `close()`.

    Args:
      base_url: the server's address, such as `http://127.0.0.1:8383`.
      api_key: what to send as bearer token. Or give
      email, password: to log in at the first call; the access token is then renewed before it ends.
      timeout_s: how many seconds a call waits, for the connection and for each part of the answer.

    Every call raises `ApiError` when the server refuses and `Unreachable` when there is no answer. Nothing is tried
    twice: after `Unreachable` the caller decides whether to ask again.
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
        self._session = Session(api_key, email, password, clock=time.monotonic)
        self._renewing = threading.Lock()
        self._http = httpx.Client(base_url=calls.api_url(base_url), timeout=timeout_s)
        self.monitors = Monitors(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; fine to call twice."""
        self._http.close()

    def overview(self) -> JsonObject:
        """Counts, checks and uptime over all monitors."""
        return self._run(calls.overview())

    def push(
        self, push_id: str, *, status: str = "up", message: str | None = None, ping: int | None = None
    ) -> JsonObject:
        """Send the heartbeat of a push monitor (`ping` in ms); needs no login, the id is the secret."""
        return self._run(calls.push(push_id, status, message, ping))

    def _run(self, call: Call[T]) -> T:
        return _drive(call, self._send)

    def _send(self, request: Request) -> Any:
        token = self._token()
        answer = self._exchange(request, token)
        if answer.status == 401 and self._session.can_renew:
            answer = self._exchange(request, self._token(rejected=token))
        return calls.read(answer)

    def _token(self, rejected: str | None = None) -> str | None:
        with self._renewing:
            return _drive(self._session.token(rejected), self._exchange)

    def _exchange(self, request: Request, token: str | None = None) -> Answer:
        try:
            return calls.received(self._http.request(**calls.sent(request, token)))
        except httpx.TransportError as error:
            raise calls.unreachable(self._base_url, error) from None


class Monitors:
    """`client.monitors`. Monitors, heartbeats and statistics are dicts as the API gives them."""

    def __init__(self, client: PeekapingClient) -> None:
        self._run = client._run

    def list(self, *, type: str | None = None, status: str | None = None) -> JsonObjects:
        """All monitors, oldest first; follows the pages, one request for each hundred."""
        return self._run(calls.list_monitors(type, status))

    def create(self, monitor: Mapping[str, Any]) -> JsonObject:
        """Create a monitor from the API's fields (`name`, `type`, `url`, ...); gives it back as the server keeps it."""
        return self._run(calls.create_monitor(monitor))

    def get(self, id: str) -> JsonObject:
        """The monitor with its status and its last check."""
        return self._run(calls.get_monitor(id))

    def update(self, id: str, changes: Mapping[str, Any]) -> JsonObject:
        """Change the given fields and leave the others; gives back the whole monitor."""
        return self._run(calls.update_monitor(id, changes))

    def delete(self, id: str) -> None:
        """Delete the monitor and its history."""
        self._run(calls.delete_monitor(id))

    def pause(self, id: str) -> JsonObject:
        """Stop checking until `resume`; gives back the monitor."""
        return self._run(calls.pause_monitor(id))

    def resume(self, id: str) -> JsonObject:
        """Check again; gives back the monitor."""
        return self._run(calls.resume_monitor(id))

    def heartbeats(
        self,
        id: str,
        *,
        from_: datetime | date | str | None = None,
        to: datetime | date | str | None = None,
        limit: int | None = None,
    ) -> JsonObjects:
        """The newest heartbeats with `from_ <= timestamp < to`, newest first; `limit` is the server's when None."""
        return self._run(calls.heartbeats(id, from_, to, limit))

    def stats(self, id: str, period: str = "24h") -> JsonObject:
        """Uptime and response times over `24h`, `7d`, `30d` or `90d`."""
        return self._run(calls.stats(id, period))


def _drive(call: Generator[Request, Any, T], send: Callable[[Request], Any]) -> T:
    try:
        request = next(call)
        while True:
            request = call.send(send(request))
    except StopIteration as finished:
        result: T = finished.value
        return result
