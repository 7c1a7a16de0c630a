"""One check under its deadline, and what all actors share to make theirs."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from peekaping.engine.net.network import Network
from peekaping.engine.net.trace import JUDGE, RESOLVE, Trace
from peekaping.engine.outlets import Outlets
from peekaping.engine.probes.probe import Probe
from peekaping.engine.records import Outcome, Status
from peekaping.engine.schedule import Anchor
from peekaping.engine.timekeeper import Timekeeper
from peekaping.engine.verdict import may_be_our_slowness, starvation

log = logging.getLogger(__name__)


class Counters:
    """What all actors of an engine count together."""

    __slots__ = ("checks", "faults", "late_ms", "missed")

    def __init__(self) -> None:
        self.checks = 0
        self.missed = 0
        """Slots that passed while a check was still running."""
        self.faults = 0
        """Checks that a bug or a lack of ours spoiled."""
        self.late_ms = [0] * 1001
        """How many checks began n milliseconds after they were due; the last place is for a second and more."""

    def late_percentile(self, fraction: float) -> int:
        """The lateness that `fraction` of the checks stayed within, in whole milliseconds rounded down."""
        rest = fraction * sum(self.late_ms)
        for late, count in enumerate(self.late_ms):
            rest -= count
            if rest <= 0:
                return late
        return len(self.late_ms) - 1


class Services:
    """What an actor is given."""

    __slots__ = ("anchor", "counters", "network", "outlets", "timekeeper", "utc_ms")

    def __init__(
        self, network: Network, timekeeper: Timekeeper, outlets: Outlets, counters: Counters, utc_ms: Callable[[], int]
    ) -> None:
        self.network = network
        self.timekeeper = timekeeper
        self.outlets = outlets
        self.counters = counters
        self.utc_ms = utc_ms
        self.anchor = Anchor(trio.current_time(), utc_ms())


async def probe_within(timeout_s: float, probe: Probe, services: Services) -> Outcome:
    """Run a probe under one deadline. A timeout is the target's failure, a bug or starvation of ours never is."""
    counters, timekeeper = services.counters, services.timekeeper
    counters.checks += 1
    trace = Trace()
    behind_before_s = timekeeper.behind_at(trace.started)
    deadline = trace.started + timeout_s
    found: Outcome | None = None
    timekeeper.begin(trace.started)
    try:
        with trio.CancelScope(deadline=deadline):
            found = await probe(trace)
    except Exception as error:  # a bug in a probe, or no memory: the target may be fine
        counters.faults += 1
        log.exception("a probe crashed")
        return Outcome(Status.UNKNOWN, f"The check failed within the monitor: {type(error).__name__}: {error}", "fault")
    finally:
        timekeeper.end()
    if found is not None and not may_be_our_slowness(found):
        return found
    doing = trace.doing
    now = trio.current_time()
    how = starvation(timeout_s, noticed_late_s=now - deadline, behind_s=timekeeper.behind_at(now) - behind_before_s)
    if how is None and found is None and trace.phase == JUDGE:  # the answer was there in time
        how = f"time was up while {doing}"
    if how is not None:
        counters.faults += 1
        return starved(how)
    if found is not None:
        return found
    if trace.phase == RESOLVE:
        return Outcome(Status.UNKNOWN, f"Timeout after {timeout_s:g} s while {doing}", "resolver_timeout")
    return Outcome(Status.DOWN, f"Timeout after {timeout_s:g} s while {doing}", "timeout", phases=trace.finish()[1])


def starved(how: str) -> Outcome:
    """The outcome of a check, or of waiting for a push, that our own loop spoiled, and how."""
    return Outcome(Status.UNKNOWN, f"This host was too busy to check: {how}", "starved")
