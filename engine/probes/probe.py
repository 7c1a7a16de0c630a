"""What every kind of check is."""

from __future__ import annotations

from peekaping.engine.net.trace import Trace
from peekaping.engine.records import Outcome


class Probe:
    """A prepared check of one monitor, made from the monitor and the network: what can be computed once is."""

    __slots__ = ()

    async def __call__(self, trace: Trace) -> Outcome:
        """Check once, under the caller's deadline. A failing target is an outcome, never an exception."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what was kept for the next check; never blocks."""
