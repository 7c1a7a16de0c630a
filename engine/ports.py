"""What the engine needs of storage. `engine/memory.py` keeps it all in memory, `store/` in SQLite; one contract suite
(`tests/store/`) runs over both.

A store is used by one engine. Calls may come from several tasks at once; each is atomic, and what a call has written the
next call sees. A cancelled call was made whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from peekaping.engine.accounting import DAY, Bucket
from peekaping.engine.alerts.delivery import NewDelivery
from peekaping.engine.alerts.ports import AlertStore
from peekaping.engine.errors import EngineError
from peekaping.engine.monitor import Monitor
from peekaping.engine.outages import Outage
from peekaping.engine.records import Entry, Heartbeat, Snapshot, Status

HEARTBEATS_KEPT_MS = 30 * DAY
"""Single heartbeats are for looking into last month; a million a day (700 monitors at 60 s) is 25 MB a day."""
MINUTES_KEPT_MS = 2 * DAY
"""Minutes serve periods of up to two days (`report.span_for`)."""
OUTAGES_KEPT_MS = 400 * DAY
"""After their end."""
HOURS_KEPT_MS = 100 * DAY
"""Hours serve periods of up to 31 days. Days serve longer ones and are kept for ever: 36,500 rows for a hundred monitors in a
year."""


class StoreFailed(EngineError):
    """The storage could not do it now (disk full, file locked, medium gone); nothing was written. Trying again later may work.
    The cause is `__cause__`."""


class Tail(NamedTuple):
    """What happened to one monitor after its newest closed minute: the statistics go on from here."""

    number: int
    watermark: int | None
    """The end of its newest stored minute; None when there is none."""
    confirmed: Status | None
    """The confirmed status just before the first of `heartbeats`."""
    heartbeats: list[Heartbeat]
    """Oldest first: the newest one before the watermark (it speaks for the time after), then all from the watermark on.
    All there are when there is no watermark."""


Tell = Callable[[Entry], Sequence[NewDelivery]]
"""What is to be told of a new monitor. It is called in the midst of a transaction, so it must only look at values."""


def nothing(entry: Entry) -> Sequence[NewDelivery]:
    return ()


class Store(AlertStore, Protocol):
    """Every method may raise `StoreFailed`."""

    async def load(self) -> list[Snapshot]:
        """All monitors with what they continue from, by number."""

    async def tails(self, numbers: Sequence[int]) -> list[Tail]:
        """The tails of these monitors, in this order."""

    async def add(
        self, monitor: Monitor, *, now_ms: int, push_id: str | None, workspace: int = 1, tell: Tell = nothing
    ) -> Entry:
        """Store a new monitor, with what is to be told of it, and give it its number, which no monitor had before."""

    async def replace(self, entry: Entry, deliveries: Sequence[NewDelivery] = ()) -> None:
        """Store what changed of a monitor, and what is to be told of it. One that is not there (any more) stays away."""

    async def remove(self, number: int, deliveries: Sequence[NewDelivery] = ()) -> None:
        """Forget a monitor at once, with what was still to be told of its state, and store what is to be told of its end. Its
        history goes little by little, in `prune`. Unknown numbers are fine."""

    async def append(self, heartbeats: Sequence[Heartbeat], deliveries: Sequence[NewDelivery] = ()) -> None:
        """Store a batch, and what is to be told of it, in one transaction.

        A heartbeat with a (monitor, at) already there is the same one, stored again after a failure: it changes nothing. A
        certificate takes the place of an older one of its monitor; its heartbeat's time is when it was first seen.
        """

    async def roll_up(self, buckets: Sequence[Bucket]) -> None:
        """Store closed minutes, and add them to their hours and days, in one transaction.

        A minute that is there already, or older than the newest, changes nothing: it was rolled up before a crash.
        """

    async def heartbeats(
        self, number: int, *, from_ms: int | None = None, to_ms: int | None = None, limit: int
    ) -> list[Heartbeat]:
        """At most `limit` heartbeats of a monitor with `from_ms <= at < to_ms`: the newest of them, newest first.

        What is not stored comes back as the records' defaults: `phases`, `previous`, `certificate`.
        """

    async def buckets(self, number: int, span: int, *, from_ms: int, to_ms: int) -> list[Bucket]:
        """A monitor's non-empty buckets of one span (one of `SPANS`) that start within [from_ms, to_ms), oldest first."""

    async def sums(self, numbers: Sequence[int], span: int, *, from_ms: int, to_ms: int) -> list[Bucket]:
        """For each of these monitors, in this order, its buckets of that time added up (`start` from_ms), without extremes and
        sketch."""

    async def days(self, numbers: Sequence[int], *, from_ms: int, to_ms: int) -> list[Bucket]:
        """The days of these monitors that start within [from_ms, to_ms), in any order, without extremes and sketch."""

    async def outages(self, number: int, *, from_ms: int, to_ms: int, limit: int) -> tuple[int, list[Outage]]:
        """How many outages a monitor had that lasted into [from_ms, to_ms), and the newest `limit` of them, newest first.

        They follow from the transitions that `append` was given (`outages.changes`), and are written in its transaction.
        """

    async def totals(self, span: int, *, from_ms: int, to_ms: int, workspace: int | None = None) -> Bucket:
        """The hours or days of that time of all monitors, or of a workspace's, added up (`monitor` 0, `start` from_ms): what can
        be added up and taken away again, so neither extremes nor a sketch. Costs the same however many monitors there are."""

    async def prune(self, now_ms: int) -> bool:
        """One small step of forgetting: what is older than the spans above, and the history of removed monitors.

        A monitor's newest minute is kept however old: it is the watermark. True when there is more to do.
        """
