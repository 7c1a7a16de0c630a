"""What a store makes of heartbeats is what the verdict had made of the checks behind them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peekaping.engine.records import Heartbeat, State, Status
from peekaping.engine.restore import restore
from peekaping.engine.verdict import judge, paused, resumed
from tests.store.support import beat

FOUND = st.sampled_from([Status.UP, Status.DOWN, Status.DOWN, Status.UNKNOWN])


@given(st.lists(FOUND | st.sampled_from(["pause", "resume"])), st.integers(0, 4))
def test_a_restored_state_is_the_one_that_the_verdict_had(events: list[Status | str], retries: int) -> None:
    state = State()
    confirmed: Status | None = None
    heartbeats: list[Heartbeat] = []
    for at, event in enumerate(events):
        transition = False
        if isinstance(event, Status):
            state, transition = judge(state, event, retries)
        else:
            state = paused(state) if event == "pause" else resumed(state)
        confirmed = state.status if transition else confirmed
        heartbeats.append(beat(1, at, state.status, transition=transition, is_check=isinstance(event, Status)))
    assert restore(confirmed, reversed(heartbeats)) == state
