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


class Unprepared(Probe):
    """The check of a monitor that could not be prepared: each fails by the same fault, which is ours and not the target's."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self, trace: Trace) -> Outcome:
        raise self._error.with_traceback(None)
