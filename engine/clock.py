"""The wall clock, how long its parts are, and how long this host slept. Nothing is scheduled by them: trio's clock is not set."""

from __future__ import annotations

import time

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def utc_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def slept_s() -> float:
    """For how long this host was suspended since it booted. Trio's clock stood still meanwhile; one of the system's did not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
