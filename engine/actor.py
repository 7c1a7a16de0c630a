"""One monitor: an actor that sleeps until its check is due, probes, judges and hands out a heartbeat, for ever.

Its state lives in its `Runtime`. What was seen and judged the actor alone writes while it runs; the definition is the director's.
Where more of that changes than the name and whom it tells, a check under way ends first, or the actor is stopped and another one
started on the same runtime (`director.py`), so that an actor has no mailbox for changes: ten thousand idle ones would cost more
than the actors. Only a monitor that is told has one, for pushes.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable

import trio

from peekaping.engine.certificate import Certificate, SeenCertificate
from peekaping.engine.check import Services, probe_within, starved
from peekaping.engine.clock import MINUTE_MS
from peekaping.engine.monitor import Monitor
from peekaping.engine.probes import prepare
from peekaping.engine.probes.probe import Probe
from peekaping.engine.probes.push import Push, PushMonitor
from peekaping.engine.records import Heartbeat, Outcome, Snapshot, State, Status, plain_message
from peekaping.engine.schedule import PATIENCE_S, next_due, push_expected, retry_due
from peekaping.engine.timekeeper import Alarm
from peekaping.engine.verdict import STARVED_S, judge, starvation

MOST_WAITING_PUSHES = 100
"""More than this many pushes at once for one monitor are refused: its actor takes them in microseconds."""
PUSH_READ_WITHIN_S = 10.0
"""What was pushed while the event loop stood still lies in the kernel: when it is not here after so long, nothing was."""
CLOCK_ROUNDING_S = 0.01
"""More than the rounding of the wall clock to milliseconds makes of a check that ended in the instant of its slot."""
NEVER = float("-inf")


class Runtime:
    """A monitor while the engine runs: its definition, its state, and the handle by which it is stopped."""

    __slots__ = (
        "_failed_due", "_push_missed", "_pushes", "_slept_s", "certificate", "check_now", "entry", "expected",
        "is_checking", "last", "newest_at", "scope", "services", "state", "stopped",
    )  # fmt: skip

    def __init__(self, snapshot: Snapshot, services: Services, *, check_now: bool) -> None:
        self.entry, self.state, self.last, self.certificate, self.newest_at = snapshot
        self.services = services
        self.check_now = check_now
        """Whether its next check is due at once, and not in its slot: somebody waits for what they just changed."""
        self.is_checking = False
        """Whether a check is under way; one that only listens makes none."""
        self.scope: trio.CancelScope | None = None
        """By which its actor is stopped; None while it has none."""
        self.stopped: trio.Event | None = None
        """Set when its actor has ended; made by who waits for that."""
        self._pushes: tuple[trio.MemorySendChannel[Push], trio.MemoryReceiveChannel[Push]] | None = None
        self._failed_due = NEVER
        """When the failing check was due that the next retry follows, on trio's clock; changing the monitor moves neither."""
        self.expected: float | None = None
        """When the next push is expected, on trio's clock; changing the monitor moves this neither. None when that is to be found
        out: after a start, and after a pause."""
        self._push_missed = False
        """Whether the push that is waited for may have come while nobody listened."""
        self._slept_s = 0.0
        """What `Timekeeper.slept_s` said when it began to be waited for."""

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(self.entry, self.state, self.last, self.certificate, self.newest_at)

    @property
    def pushes(self) -> tuple[trio.MemorySendChannel[Push], trio.MemoryReceiveChannel[Push]]:
        """The channel for what the target says; made when it is first asked for, because most monitors have no use for it."""
        if self._pushes is None:
            self._pushes = trio.open_memory_channel[Push](MOST_WAITING_PUSHES)
        return self._pushes

    def run(self) -> Awaitable[None]:
        """The actor; runs until cancelled. No coroutine of its own: thousands of them lie on the stacks that wait."""
        monitor = self.entry.monitor
        return self._listen(monitor) if isinstance(monitor, PushMonitor) else self._check()

    def conclude(self, outcome: Outcome, *, is_early: bool = False) -> Heartbeat:
        """Judge an outcome and hand out its heartbeat."""
        state, transition = judge(self.state, outcome.status, self.entry.monitor.retries, is_early=is_early)
        return self.announce(state, outcome, transition=transition)

    def announce(self, state: State, outcome: Outcome, *, transition: bool = False, is_check: bool = True) -> Heartbeat:
        """Take on a state and hand out the heartbeat that says so."""
        # Two may come within a millisecond, and the wall clock may be set back.
        self.newest_at = at = max(self.services.utc_ms(), self.newest_at + 1)
        certificate = outcome.certificate
        if certificate is not None:
            certificate = self._unless_known(certificate)
        heartbeat = Heartbeat(
            self.entry.number,
            at,
            state.status,
            outcome.message,
            outcome.reason,
            outcome.response_ms,
            outcome.status_code,
            outcome.phases,
            self.state.status,
            transition,
            self.entry.monitor.hold_ms,
            is_check,
            certificate,
        )
        self.state = state
        if is_check:
            self.last = heartbeat
        self.services.outlets.offer(heartbeat)
        return heartbeat

    def _unless_known(self, certificate: Certificate) -> Certificate | None:
        """A certificate that is another than the one before: one that stays is handed out, and stored, once."""
        known = self.certificate
        if known is not None and known.certificate.fingerprint == certificate.fingerprint:
            return None
        self.certificate = SeenCertificate(certificate, self.newest_at)
        return certificate

    async def _check(self) -> None:
        services, counters = self.services, self.services.counters
        alarm = Alarm(services.timekeeper)
        monitor: Monitor | None = None
        probe: Probe | None = None
        try:
            while True:
                if monitor is None or self.check_now:  # it begins, or was changed during a check
                    if probe is not None:
                        probe.close()
                    probe, monitor, now = None, self.entry.monitor, trio.current_time()
                    timeout_s, interval_s = monitor.timeout_ms / 1000, monitor.interval / 1000
                    retry_s = monitor.retry_interval_ms / 1000
                    first = services.anchor.next_slot(self.entry.number, monitor.interval, now)
                    due = now if self.check_now else self._first_due(monitor, first, now)
                    self.check_now = False  # a restart after a crash keeps its slot
                await alarm.sleep_until(due)
                if probe is None:  # no sooner: ten thousand at once would hold up the first checks
                    probe = prepare(monitor, services.network)
                woken = trio.current_time()
                counters.late_ms[min(1000, int((woken - due) * 1000))] += 1
                is_early = self.state.failures > 0 and woken < self._failed_due + retry_s
                self.is_checking = True
                outcome = await probe_within(timeout_s, probe, services)
                self.is_checking = False
                self.conclude(outcome, is_early=is_early)
                now = trio.current_time()
                if self.state.failures:
                    if not is_early:
                        self._failed_due = due
                    due = retry_due(retry_s, self._failed_due, now)
                else:
                    due, missed = next_due(first, interval_s, due, now)
                    counters.missed += missed
        finally:
            self.is_checking = False
            if probe is not None:
                probe.close()

    def _first_due(self, monitor: Monitor, slot: float, now: float) -> float:
        """When an actor's first check is due that nobody waits for: after a start, and after a crash."""
        last_at = NEVER if self.last is None else min(now, self._on_trios_clock(self.last.at))
        cycle_ms = monitor.interval
        if self.state.failures:
            cycle_ms = monitor.retry_interval_ms
            if self._failed_due == NEVER:
                self._failed_due = last_at
            if self._failed_due + cycle_ms / 1000 > now:
                return self._failed_due + cycle_ms / 1000
        elif slot - last_at <= monitor.interval / 1000 + CLOCK_ROUNDING_S:
            return slot
        # It passed while nobody checked. All such are checked soon, a day's monitor too, and spread as their slots are.
        return min(slot, self.services.anchor.next_slot(self.entry.number, min(cycle_ms, MINUTE_MS), now))

    def _on_trios_clock(self, at_ms: int) -> float:
        """When that was, as far as the wall clock was not set since."""
        return trio.current_time() - (self.services.utc_ms() - at_ms) / 1000

    async def _listen(self, monitor: PushMonitor) -> None:
        if self.expected is None:
            since = self._on_trios_clock(self.last.at if self.last is not None else self.entry.created_ms)
            is_silent = self.state.failures > 0 and self.last is not None and self.last.reason == "no_push"
            waits_ms = monitor.retry_interval_ms if is_silent else monitor.interval
            self.expected, self._push_missed = push_expected(since, waits_ms / 1000, trio.current_time())
            self._slept_s = self.services.timekeeper.slept_s()
        while True:
            push = await self._push_by(self.expected + monitor.grace_ms / 1000)
            self.services.counters.checks += 1
            if push is not None:
                self._hear(push, monitor)
            else:
                self._hear_nothing(monitor, self.expected)

    async def _push_by(self, deadline: float) -> Push | None:
        """The next push; None when none comes by then."""
        receive = self.pushes[1]
        # What came in time and waits is no silence: changing the monitor may have taken longer than it had left.
        is_waiting = receive.statistics().current_buffer_used > 0
        with trio.move_on_at(math.inf if is_waiting else deadline):
            return await receive.receive()
        return None

    def hear_what_waits(self) -> None:
        """Judge the pushes that came while the actor was being stopped, for a pause: after that they would pass for new ones."""
        monitor = self.entry.monitor
        if isinstance(monitor, PushMonitor):
            for _ in range(self.pushes[1].statistics().current_buffer_used):
                self._hear(self.pushes[1].receive_nowait(), monitor)

    def _hear(self, push: Push, monitor: PushMonitor) -> None:
        is_up = push.status is Status.UP
        message = push.message or (plain_message(None) if is_up else "Reported down by a push")
        self.conclude(Outcome(push.status, message, None if is_up else "reported", push.response_ms))
        push.judged.set()
        self._expect(trio.current_time() + monitor.interval / 1000)

    def _expect(self, expected: float) -> None:
        self.expected, self._push_missed, self._slept_s = expected, False, self.services.timekeeper.slept_s()

    def _hear_nothing(self, monitor: PushMonitor, expected: float) -> None:
        interval_s, grace_s, now = monitor.interval / 1000, monitor.grace_ms / 1000, trio.current_time()
        how = starvation(interval_s, noticed_late_s=now - expected - grace_s)
        has_slept = self.services.timekeeper.slept_s() - self._slept_s > STARVED_S
        if self._push_missed or has_slept:
            self.services.counters.faults += 1
            self.conclude(Outcome(Status.UNKNOWN, "A push was due while this server took none", "starved"))
            # For a moment of sleep a backup that never comes would else be forgiven for another day.
            self._expect(now + (interval_s if self._push_missed else min(interval_s, PATIENCE_S)))
        elif how is not None:
            self.services.counters.faults += 1
            self.conclude(starved(how))
            self._expect(now + min(interval_s, max(grace_s, PUSH_READ_WITHIN_S)) - grace_s)
        else:
            silent_for = f"No push within {interval_s:g} s and {grace_s:g} s of grace"
            self.conclude(Outcome(Status.DOWN, silent_for, "no_push"))
            self.expected = expected + (monitor.retry_interval_ms / 1000 if self.state.failures else interval_s)
