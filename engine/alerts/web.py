"""What kinds of channels may use of the world: HTTP, and threads for libraries that block. Everything passes the egress guard."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import msgspec
import trio

from peekaping.engine.alerts.channel import NotDelivered
from peekaping.engine.alerts.http_client import AnswerBroken, http_client
from peekaping.engine.net.egress import DEFAULT_DENY, EgressGuard
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import HostNetwork
from peekaping.engine.net.tls import DEFAULT_TLS, Tls, context_for

T = TypeVar("T")

TRY_AGAIN = frozenset({408, 409, 425, 429})
"""What is worth another try among the 4xx: too slow, in conflict, too early, too many."""
LONGEST_PAUSE_S = 86_400.0
_GIVEN_ON = frozenset({"PATH", "PYTHONPATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"})
"""Of our environment, which holds secrets, what processes need."""


class Web:
    """An async context manager, for one trio run. `deny` are the networks that no channel may reach; `tls` is whom to trust."""

    def __init__(self, deny: Iterable[str] = DEFAULT_DENY, tls: Tls = DEFAULT_TLS) -> None:
        self.deny = tuple(deny)
        self.tls = tls
        self._network = HostNetwork(EgressGuard(self.deny))
        self._client = http_client(self._network, tls)
        self.thread_slots = trio.CapacityLimiter(20)
        """For those who call `in_thread`: each holds one around its send, see `Channel.slot`."""
        self.process_slots = trio.CapacityLimiter(4)
        """The same for `ask_process`: a process takes 60 MB."""
        # Its own threads: those that wait for slow mail servers must not hold up the store's. There are more than slots, as one
        # that was stopped has none and takes a moment to end.
        self._threads = trio.CapacityLimiter(40)

    async def __aenter__(self) -> Web:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        refused: Callable[[httpx.Response], NotDelivered | None] | None = None,
        **how: Any,
    ) -> str:
        """Make one request (`how` is httpx's: json, data, content, headers, params, auth); gives what the service said.

        `refused` finds what is wrong in an answer of 2xx, for services that refuse so.

        Raises:
          NotDelivered: for any other answer, and for none.
        """
        try:
            response = await self._client.request(method, url, **how)
        except Failed as failure:
            raise _no_connection(failure) from failure
        except AnswerBroken as error:
            raise NotDelivered(str(error), retry=True) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise NotDelivered(f"The URL cannot be used: {error}", retry=False) from error
        if not response.is_success:
            raise refusal(response)
        if refused is not None and (problem := refused(response)) is not None:
            raise problem
        return said(response)

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of a host, each allowed by the egress guard.

        Raises:
          NotDelivered: when there is none, or one is denied.
        """
        try:
            found = await (await self._network.find(host)).all()
            for address in found:
                self._network.check_egress(address)
        except Failed as failure:
            raise _no_connection(failure) from failure
        return found

    def context(self) -> Any:
        """How to shake hands in TLS.

        Raises:
          NotDelivered: when this host trusts no authority.
        """
        try:
            return context_for(self.tls)
        except Failed as failure:
            raise _no_connection(failure) from failure

    async def ask_process(self, module: str, asked: Any) -> Any:
        """Run a module of ours in a process, which is ended when this is cancelled; JSON goes in and comes out.

        Raises:
          NotDelivered: when it did not answer.
        """
        environment = {name: value for name, value in os.environ.items() if name in _GIVEN_ON}
        done = await trio.run_process(
            [sys.executable, "-m", module],
            stdin=msgspec.json.encode(asked),
            capture_stdout=True,
            stderr=subprocess.DEVNULL,
            check=False,
            env=environment,
        )
        try:
            return msgspec.json.decode(done.stdout)
        except msgspec.DecodeError as error:
            raise NotDelivered(f"The process that sends ended with {done.returncode}", retry=True) from error

    async def in_thread(self, blocking: Callable[[], T], stop: Callable[[], None]) -> T:
        """Call it in a thread. When cancelled, call `stop`, which must make the thread end soon, and do not wait for that."""
        try:
            return await trio.to_thread.run_sync(blocking, abandon_on_cancel=True, limiter=self._threads)
        except trio.Cancelled:
            stop()
            raise


def refusal(response: httpx.Response) -> NotDelivered:
    """What a service that did not take a message said, and whether to try again.

    A redirect is not followed: a POST would become a GET, and the next host would get what is meant for the first.
    """
    code = response.status_code
    if response.has_redirect_location:
        text = f"The service answered {code}, which leads elsewhere; give the address it leads to"
        return NotDelivered(text, retry=False)
    text = f"The service answered {said(response)}"
    return NotDelivered(text, retry=code >= 500 or code in TRY_AGAIN, after_s=_retry_after(response))


def said(response: httpx.Response) -> str:
    """An answer as one text: `200 OK: {"ok":true}`. It may hold our secrets, so that only `deliver` cuts it."""
    status = f"{response.status_code} {response.reason_phrase}".strip()
    return f"{status}: {response.text}" if response.text.strip() else status


def _retry_after(response: httpx.Response) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date. What is neither counts for nothing."""
    text = response.headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_PAUSE_S) if math.isfinite(seconds) else None


def _no_connection(failure: Failed) -> NotDelivered:
    return NotDelivered(failure.message, retry=failure.reason != "egress_denied")
