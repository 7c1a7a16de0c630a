"""Lets one request begin in each round of the event loop, so that a crowd of clients does not hold up the checks.

trio runs in one round whatever is ready: two hundred requests that arrive together were a round of a tenth of a second, and each
check that became due in it was late. One in a round costs a crowd nothing, as rounds follow each other while anything is ready;
with four in a round checks were twice as late.
"""

from __future__ import annotations

from typing import NoReturn

import trio
from trio.lowlevel import ParkingLot


class Turnstile:
    """First come, first let in. `run` must be running."""

    def __init__(self) -> None:
        self._passed = trio.Event()
        """Set when somebody has passed in this round."""
        self._waiting = ParkingLot()

    async def run(self) -> NoReturn:
        """Begin round after round as long as somebody comes, until cancelled."""
        while True:
            await self._passed.wait()  # the end of a round, where it is set already
            if not self._waiting.unpark():
                self._passed = trio.Event()

    async def enter(self) -> None:
        """Return at once, or when it is one's turn."""
        if self._passed.is_set():
            await self._waiting.park()
        self._passed.set()
