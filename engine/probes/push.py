"""Monitors that are told: the target says that it lives, silence is the failure. See `Runtime._listen`."""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import trio
from msgspec import Meta

from peekaping.engine.clock import DAY_MS
from peekaping.engine.fields import Rule, between
from peekaping.engine.monitor import Monitor
from peekaping.engine.records import Status

LONGEST_GRACE_MS = 10_000


class PushMonitor(Monitor, frozen=True, kw_only=True, gc=False, rename="camel", tag="push"):
    """Down when `interval` + `grace` passes without a push."""

    grace: Annotated[int | None, Meta(description="a whole number of milliseconds")] = None

    rules: ClassVar[dict[str, Rule]] = {
        **Monitor.rules,
        "timeout": lambda value: "is not for a monitor that is told; set grace",
        "grace": between(0, DAY_MS, " milliseconds"),
    }

    @property
    def grace_ms(self) -> int:
        """By default a tenth of the interval, at most 10 s."""
        return self.grace if self.grace is not None else min(self.interval // 10, LONGEST_GRACE_MS)

    def computed(self) -> dict[str, int]:
        return {"grace": self.grace_ms}

    @property
    def hold_ms(self) -> int:
        return max(self.interval, self.retry_interval_ms) + self.grace_ms + 1000


class Push(NamedTuple):
    """One message of a target: `status` UP or DOWN."""

    status: Status
    message: str | None
    response_ms: int | None
    judged: trio.Event
    """Set when its heartbeat has been handed out."""
