"""The SDK for ordinary programs: blocking calls to a Peekaping server. `aio.py` has the same for trio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from types import TracebackType
from typing import Any, Self

import httpx

from peekaping import calls
from peekaping.calls import FILE, Answer, Call, Request, Session, T
from peekaping.methods import Blocking
from peekaping.resources import Server


class PeekapingClient(Server[Blocking]):
    """A Peekaping server, over its REST API; usable from several threads. Use it in a `with`, or call `close()`.

    Args:
      base_url: the server's address, such as `http://127.0.0.1:8383`.
      api_key: what to send as bearer token. Or give
      email, password: to log in at the first call; the access token is then renewed before it ends.
      timeout_s: how many seconds a call waits, for the connection and for each part of the answer.

    Every call raises `ApiError` when the server refuses, `Unreachable` when there is no answer, and their base `ClientError`
    for what cannot be sent. Nothing is tried twice: after `Unreachable` the caller decides whether to ask again.
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
        self._session = Session(api_key, email, password, clock=time.monotonic)
        self._renewing = threading.Lock()
        self._http = httpx.Client(base_url=calls.api_url(base_url), timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; fine to call twice."""
        self._http.close()

    def _complete(self, call: Call[T]) -> T:
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
            with closing(self._http.send(calls.built(self._http, request, token), stream=True)) as response:
                if request.into is not None and calls.is_file(response):
                    for part in response.iter_bytes():
                        request.into.write(part)
                    return FILE
                response.read()
                return calls.received(response)
        except httpx.TransportError as error:
            raise calls.unreachable(self._base_url, error) from None


def _drive(call: Generator[Request, Any, T], send: Callable[[Request], Any]) -> T:
    try:
        request = next(call)
        while True:
            request = call.send(send(request))
    except StopIteration as finished:
        result: T = finished.value
        return result
