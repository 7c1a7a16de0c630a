"""What a monitor goes on from after a start, given what is stored of it: rules that every store shares."""

from __future__ import annotations

from collections.abc import Iterable

from peekaping.engine.certificate import SeenCertificate
from peekaping.engine.records import Entry, Heartbeat, State, Status

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


def restore_certificate(entry: Entry, stored: SeenCertificate | None) -> SeenCertificate | None:
    """The stored certificate, unless it is of a target that the monitor had before."""
    return stored if stored is not None and stored.since_ms >= entry.target_ms else None
