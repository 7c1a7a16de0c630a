"""The wall clock. Nothing is scheduled by it: it may be set, trio's may not."""

from __future__ import annotations

import time


def utc_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000
