"""What a probe notes while it runs, so that an outcome can tell where the time went, also one that was cut off."""

from __future__ import annotations

import trio

from peekaping.engine.records import Phases

RESOLVE, CONNECT, TLS, SEND, WAIT, RECEIVE, JUDGE = range(7)
DOING = (
    "resolving the name",
    "connecting",
    "shaking hands for TLS",
    "sending the request",
    "waiting for the answer",
    "receiving the answer",
    "judging the answer",  # which is whole: this time is ours, not the target's
)


class Trace:
    """The phases of one check, in seconds of trio's clock. A phase that comes again (a redirect) adds up."""

    __slots__ = ("_since", "_spent", "phase", "started")

    def __init__(self) -> None:
        self.started = self._since = trio.current_time()
        self._spent: list[float | None] = [None] * len(DOING)
        self.phase = RESOLVE

    def enter(self, phase: int) -> None:
        """The phase before ends and this one begins."""
        now = trio.current_time()
        self._spent[self.phase] = (self._spent[self.phase] or 0.0) + now - self._since
        self._since = now
        self.phase = phase

    @property
    def doing(self) -> str:
        return DOING[self.phase]

    def finish(self) -> tuple[int, Phases]:
        """The response time until now, in whole milliseconds, and the phases without `JUDGE`, which alone may follow."""
        self.enter(self.phase)
        spent = [None if seconds is None else round(seconds * 1e6) for seconds in self._spent[:JUDGE]]
        return round((self._since - self.started) * 1000), Phases(*spent)
