"""The requests of one connection: each begins in its turn, and while none runs the client has a deadline.

To Hypercorn's protocols this is their task group.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypercorn.config import Config

from peekaping.api.exchange import App, Exchange, Message, Send
from peekaping.api.turnstile import Turnstile


class Requests:
    """Starts them.

    Args:
      scope: all that is done for the client. Its deadline is that of the next request's head; none while a request runs.
      idle_s: how long that may take.
    """

    def __init__(self, nursery: trio.Nursery, scope: trio.CancelScope, turnstile: Turnstile, idle_s: float) -> None:
        self._nursery = nursery
        self._scope = scope
        self._turnstile = turnstile
        self._idle_s = idle_s
        self._has_turn = False
        self._running = 0
        self._scope.deadline = trio.current_time() + idle_s

    async def turn(self) -> None:
        """Wait for a turn to look at what the client has sent; the first request in it begins in the same one."""
        await self._turnstile.enter()
        self._has_turn = True

    # What protocols ask of a task group.

    def spawn(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        self._nursery.start_soon(function, *args)

    async def spawn_app(self, app: App, config: Config, scope: Any, send: Send) -> Callable[[Message], Awaitable[None]]:
        """Start a request; gives back what takes the client's messages for it."""
        if not self._has_turn:  # hundreds fit into one packet
            await self._turnstile.enter()
        self._has_turn = False
        exchange = Exchange(send)
        self._nursery.start_soon(self._run, exchange, app, scope)
        return exchange.deliver

    async def _run(self, exchange: Exchange, app: App, scope: Any) -> None:
        self._running += 1
        self._scope.deadline = math.inf
        try:
            await exchange.run(app, scope)
        finally:
            self._running -= 1
            if not self._running:
                self._scope.deadline = trio.current_time() + self._idle_s
