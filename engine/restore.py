"""What a monitor's stored heartbeats say of the state to go on from: a rule that every store shares."""

from __future__ import annotations

from collections.abc import Iterable

from peekaping.engine.records import Heartbeat, State, Status

UNSETTLED = (Status.PENDING, Status.UNKNOWN)


def settles(heartbeat: Heartbeat) -> bool:
    """Whether failing checks are counted from here on: after a verdict and after a change by hand.

    A pending check adds to the count, and an unknown one leaves it alone.
    """
    return not heartbeat.is_check or heartbeat.status not in UNSETTLED


def restore(confirmed: Status | None, newest_first: Iterable[Heartbeat]) -> State:
    """The state that the verdict had after the newest of these heartbeats; what it has before the first if there is none.

    Args:
      confirmed: the status of the monitor's newest transition.
      newest_first: its heartbeats; those after (older than) the first that `settles` are not looked at.
    """
    shown = None
    failures = 0
    for heartbeat in newest_first:
        shown = shown or heartbeat.status
        if settles(heartbeat):
            break
        failures += heartbeat.status is Status.PENDING
    return State(shown or Status.PENDING, confirmed, failures)
