"""What an outcome means for a monitor: a pure function of what was known and what was found."""

from __future__ import annotations

from typing import NamedTuple

from peekaping.engine.records import State, Status


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
