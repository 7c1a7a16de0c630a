"""What an outcome means for a monitor, and whose fault a timeout is: pure functions of what was known and what was found."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from peekaping.engine.records import Outcome, State, Status

STARVED_S = 0.2
"""A timeout that is delivered this late was not the target's: our own loop stood still."""
STARVED_SHARE = 0.1
"""Nor one of a check during which it stood still for so much of the time, though never so long at once."""
LOST_PATIENCE = frozenset({
    "connection_reset", "connection_cut", "empty_answer", "body_cut_short", "stream_reset", "tls_handshake", "websocket_closed",
    "expect_not_found", "name_silent", "no_reply", "packet_loss",
})  # fmt: skip
"""Reasons that a target gives which is well and waited for us in vain, or that come of an answer which lay there unread. A
refused connection is none of them: this host's kernel is told so, whatever the loop does."""


class Verdict(NamedTuple):
    state: State
    """What to remember; `state.status` is what the heartbeat says and the monitor shows."""
    transition: bool
    """Whether the confirmed status changed: up to down, down to up, or certain for the first time."""


def judge(state: State, found: Status, retries: int, *, is_early: bool = False) -> Verdict:
    """The verdict on a check that found the target `UP` or `DOWN`, or found nothing out (`UNKNOWN`).

    `retries` failing checks in a row are pending, the next one is down; the first failure of a new monitor uses its
    retries too. A monitor that is down stays down until a check is good. An unknown check changes what is shown and
    nothing else: retries go on where they were, and so does what alerts compare with. A failing check that comes sooner
    after the one before than a retry would (`is_early`: a change of the monitor had it made at once) uses up no retry: what
    lasts a second is no outage, however often somebody looks in it.
    """
    if found is Status.UP:
        if state.status is Status.UP and state.confirmed is Status.UP and not state.failures:
            return Verdict(state, False)  # the overwhelmingly common case makes no new value
        return Verdict(State(Status.UP, Status.UP), state.confirmed is not Status.UP)
    if found is Status.UNKNOWN:
        return Verdict(State(Status.UNKNOWN, state.confirmed, state.failures), False)
    if state.confirmed is Status.DOWN:
        return Verdict(State(Status.DOWN, Status.DOWN), False)
    failures = max(1, state.failures + (not is_early))
    if failures > retries:
        return Verdict(State(Status.DOWN, Status.DOWN), True)
    return Verdict(State(Status.PENDING, state.confirmed, failures), False)


def paused(state: State) -> State:
    """A paused monitor keeps what was confirmed, so that its first check after resuming tells what changed meanwhile."""
    return State(Status.PAUSED, state.confirmed)


def resumed(state: State) -> State:
    """Nothing is known of a resumed monitor until it was checked."""
    return State(Status.PENDING, state.confirmed)


def may_be_our_slowness(outcome: Outcome) -> bool:
    """Whether a target that is well fails like this when we keep it waiting."""
    if outcome.reason == "status_code":
        return outcome.status_code == HTTPStatus.REQUEST_TIMEOUT
    return outcome.reason in LOST_PATIENCE


def starvation(timeout_s: float, *, noticed_late_s: float, behind_s: float = 0.0) -> str | None:
    """How our own loop spoiled a check that timed out or `may_be_our_slowness`; None when it was in time, and the target was not.

    How late the check began is nothing to it: the target has its whole time from then on.

    Args:
      noticed_late_s: how long after it was due the timeout was noticed.
      behind_s: for how long the loop stood still, or the whole host slept, during the check, in sum.
    """
    if noticed_late_s > STARVED_S:
        return f"it noticed the timeout {noticed_late_s:.1f} s late"
    if behind_s > max(STARVED_S, STARVED_SHARE * timeout_s):
        return f"it stood still for {behind_s:.1f} s in a check of {timeout_s:g} s at most"
    return None
