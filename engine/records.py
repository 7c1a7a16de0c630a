"""The values that flow through the engine. No behaviour beyond what a value knows of itself; no clock, no socket.

Times are integer milliseconds of UTC since the epoch (`*_ms`, `at`), spans are integer milliseconds unless a name says
otherwise. Records are msgspec structs: a tenth of a dataclass's cost to make, and encoded to JSON without a detour.
They hold no reference cycles, so the garbage collector is told not to track them (`gc=False`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from peekaping.engine.certificate import Certificate, SeenCertificate
from peekaping.engine.monitor import Monitor


class Status(StrEnum):
    """What a heartbeat says, and what a monitor shows."""

    UP = "up"
    DOWN = "down"
    PENDING = "pending"
    """Failing, with retries left; or not checked yet."""
    UNKNOWN = "unknown"
    """A fault of our own spoiled the check: nothing is known about the target."""
    PAUSED = "paused"


class Phases(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Where the time of one check went, in microseconds; None where a phase did not happen.

    For a check that followed redirects these are the sums over all its requests.
    """

    resolve_us: int | None = None
    connect_us: int | None = None
    tls_us: int | None = None
    send_us: int | None = None
    wait_us: int | None = None
    """From the request sent to the first byte of the answer."""
    receive_us: int | None = None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What one probe found. `status` is UP, DOWN or UNKNOWN: retries are the verdict's business, not the probe's.

    `reason` is a stable code for machines (None when up), `message` is for people.
    """

    status: Status
    message: str
    reason: str | None = None
    response_ms: int | None = None
    status_code: int | None = None
    phases: Phases | None = None
    certificate: Certificate | None = None
    """What the target showed; None where nobody asked for it, and where the check did not get so far."""


class State(msgspec.Struct, frozen=True, gc=False):
    """What the verdict remembers of a monitor between two checks."""

    status: Status = Status.PENDING
    """What the monitor shows."""
    confirmed: Status | None = None
    """The last UP or DOWN that was certain: what alerts compare with and the uptime figure counts."""
    failures: int = 0
    """Failing checks since the last good one, while not yet down."""


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """One judged check, or one change by hand (paused, resumed): what is stored, counted and published."""

    monitor: int
    """The monitor's number."""
    at: int
    """When the check ended; strictly increasing for one monitor, so that (monitor, at) names a heartbeat."""
    status: Status
    message: str
    reason: str | None = None
    response_ms: int | None = None
    status_code: int | None = None
    phases: Phases | None = None
    previous: Status = Status.PENDING
    """What the monitor showed before."""
    transition: bool = False
    """Whether the confirmed status changed: up to down, down to up, or certain for the first time."""
    hold_ms: int = 0
    """How long it speaks for its target when no other follows (`Monitor.hold_ms`); not stored."""
    is_check: bool = True
    """False for a change by hand, which counts as no check."""
    certificate: Certificate | None = None
    """Only when it is another than the one before: it is stored beside the heartbeats, once."""

    @property
    def id(self) -> str:
        return f"heartbeat-{self.monitor}-{self.at}"

    @property
    def monitor_id(self) -> str:
        return monitor_id(self.monitor)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A monitor as the server keeps it: what the user asked for, and what the server adds."""

    number: int
    """Never reused, also not after a deletion."""
    monitor: Monitor
    created_ms: int
    updated_ms: int
    paused: bool = False
    push_id: str | None = None
    """The secret part of a push monitor's address."""
    target_ms: int = 0
    """What was seen before this instant was seen of another target: an update changed it."""
    workspace: int = 1
    """Whose it is; it never changes."""

    @property
    def id(self) -> str:
        return monitor_id(self.number)


class Snapshot(NamedTuple):
    """A monitor at one instant: its definition, what its verdict remembers, its newest check."""

    entry: Entry
    state: State
    last: Heartbeat | None
    """Its newest check; None before the first."""
    certificate: SeenCertificate | None = None
    """What its target showed last; None where there is none, or nobody asked for it."""
    newest_at: int = 0
    """When its newest heartbeat was, which may be no check, but a change by hand; 0 before the first."""


def monitor_id(number: int) -> str:
    return f"monitor-{number}"


def monitor_number(id: str) -> int | None:
    """The number in `monitor-17`; None when it is no monitor's id."""
    return number_in(id, "monitor")


def number_in(id: str, kind: str) -> int | None:
    """The number in `kind-17`; None when it is no such id. A thing has one: `kind-017` is none."""
    head, _, digits = id.partition("-")
    if head != kind or len(digits) > 15 or not (digits.isascii() and digits.isdigit()) or digits.startswith("0"):
        return None
    return int(digits)


def iso(at_ms: int) -> str:
    """UTC with millisecond digits: 2024-01-20T10:30:00.000Z."""
    return f"{_second(at_ms // 1000)}.{at_ms % 1000:03}Z"


@lru_cache(1024)
def _second(at: int) -> str:
    # Thousands of heartbeats share a second; formatting it costs ten times what the cache does.
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def plain_message(status_code: int | None) -> str:
    """What a good check says when there is nothing to add: the status code's phrase, or OK.

    Stores leave this message out, so that a heartbeat of a healthy monitor costs no text.
    """
    if status_code is None:
        return "OK"
    return _PHRASES.get(status_code) or f"HTTP {status_code}"


_PHRASES = {status.value: status.phrase for status in HTTPStatus}
