"""What outcomes mean: the rules, against a plain model that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from peekaping.engine.records import State, Status
from peekaping.engine.verdict import judge, paused, resumed, starvation

UP, DOWN, PENDING, UNKNOWN = Status.UP, Status.DOWN, Status.PENDING, Status.UNKNOWN


def run(retries: int, *found: Status) -> list[tuple[Status, bool]]:
    """What is shown after each check, and whether it was a transition."""
    state, shown = State(), []
    for status in found:
        state, transition = judge(state, status, retries)
        shown.append((state.status, transition))
    return shown


def test_retries_are_pending_before_down() -> None:
    assert run(2, UP, DOWN, DOWN, DOWN, DOWN, UP) == [
        (UP, True), (PENDING, False), (PENDING, False), (DOWN, True), (DOWN, False), (UP, True),
    ]  # fmt: skip


def test_without_retries_the_first_failure_is_down() -> None:
    assert run(0, UP, DOWN) == [(UP, True), (DOWN, True)]


def test_the_first_failures_of_a_new_monitor_use_its_retries() -> None:
    assert run(1, DOWN, DOWN) == [(PENDING, False), (DOWN, True)]


def test_one_good_check_forgives_all_failures() -> None:
    assert run(1, UP, DOWN, UP, DOWN) == [(UP, True), (PENDING, False), (UP, False), (PENDING, False)]


@pytest.mark.parametrize(
    ("timeout_s", "noticed_late_s", "behind_s", "how"),
    [
        (30, 0.1, 2.9, None),
        (1, 0.1, 0.19, None),
        (30, 0.3, 0.0, "it noticed the timeout 0.3 s late"),
        (30, 0.0, 3.1, "it stood still for 3.1 s in a check of 30 s at most"),
        (1, 0.0, 0.21, "it stood still for 0.2 s in a check of 1 s at most"),
    ],
)
def test_a_timeout_is_our_own_where_our_loop_was_late(
    timeout_s: float, noticed_late_s: float, behind_s: float, how: str | None
) -> None:
    assert starvation(timeout_s, noticed_late_s=noticed_late_s, behind_s=behind_s) == how


def test_a_check_that_came_too_soon_fails_within_fewer_retries_too() -> None:
    state, _ = judge(State(PENDING, UP, failures=3), DOWN, 3, is_early=True)
    assert state == State(PENDING, UP, failures=3)
    assert judge(state, DOWN, 2, is_early=True) == (State(DOWN, DOWN), True), "the retries were changed meanwhile"


def test_an_unknown_check_neither_fails_nor_recovers_anything() -> None:
    assert run(1, UP, DOWN, UNKNOWN, DOWN) == [(UP, True), (PENDING, False), (UNKNOWN, False), (DOWN, True)]
    assert run(0, DOWN, UNKNOWN, DOWN) == [(DOWN, True), (UNKNOWN, False), (DOWN, False)]
    assert run(0, UP, UNKNOWN, UP) == [(UP, True), (UNKNOWN, False), (UP, False)]


def test_after_a_pause_what_changed_meanwhile_is_a_transition() -> None:
    state, _ = judge(State(), DOWN, 0)
    state = resumed(paused(state))
    assert state.status is PENDING
    assert judge(state, UP, 0) == (State(UP, UP), True)
    assert judge(state, DOWN, 0) == (State(DOWN, DOWN), False)


class Model(RuleBasedStateMachine):
    """The verdict against its definition over the whole history."""

    @initialize(retries=st.integers(0, 4))
    def begin(self, retries: int) -> None:
        self.retries = retries
        self.state = State()
        self.known: list[Status] = []  # checks that were no fault of ours, since the last pause
        self.confirmed: Status | None = None
        self.shown = PENDING

    @rule(found=st.sampled_from([UP, DOWN, UNKNOWN]))
    def check(self, found: Status) -> None:
        before = self.confirmed
        if found is UNKNOWN:
            self.shown = UNKNOWN
        else:
            self.known.append(found)
            failing = len(self.known) - (max((i + 1 for i, s in enumerate(self.known) if s is UP), default=0))
            if failing == 0:
                self.confirmed = self.shown = UP
            elif failing > self.retries or self.confirmed is DOWN:
                self.confirmed = self.shown = DOWN
            else:
                self.shown = PENDING
        self.state, transition = judge(self.state, found, self.retries)
        assert transition == (self.confirmed is not before)

    @precondition(lambda self: self.state.failures)
    @rule(found=st.sampled_from([UP, DOWN]))
    def check_sooner_than_a_retry_would(self, found: Status) -> None:
        self.state, transition = judge(self.state, found, self.retries, is_early=True)
        if found is UP:
            assert transition == (self.confirmed is not UP)
            self.known.append(UP)
            self.confirmed = self.shown = UP
        else:
            assert not transition
            self.shown = PENDING

    @rule()
    def pause_and_resume(self) -> None:
        self.state = resumed(paused(self.state))
        self.known, self.shown = [], PENDING

    @invariant()
    def shows_what_the_model_shows(self) -> None:
        assert self.state.status is self.shown
        assert self.state.confirmed is self.confirmed

    @invariant()
    def down_is_never_shown_without_being_confirmed(self) -> None:
        assert self.state.status is not DOWN or self.state.confirmed is DOWN


TestModel = Model.TestCase
