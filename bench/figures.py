"""What a run gives: figures, each with all its rounds, and how one stands beside its goal and beside what it was before."""

from __future__ import annotations

from math import floor
from statistics import median
from typing import Literal

import msgspec

WORSE_BY, WORSE_BESIDE_A_PEER_BY = 1.5, 1.3
"""A figure within this factor of the one before is the same. The machine of docs/performance.md takes up to 1.5 times as long at
one hour as at another; a ratio to a peer of the same run varies less: that to blackbox_exporter was 0.30 to 0.39 in five runs."""


class Figure(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One measured number, in rounds; with a peer, both measured in turn in the same run."""

    name: str
    unit: str
    ours: list[float]
    peer: str | None = None
    peers: list[float] = msgspec.field(default_factory=list)
    """The peer's rounds."""
    better: Literal["less", "more"] = "less"
    goal: float | None = None
    goal_for: Literal["ours", "ratio"] = "ours"

    @property
    def middle(self) -> float:
        return median(self.ours)

    @property
    def ratio(self) -> float | None:
        """Our median divided by the peer's; None without a peer."""
        return self.middle / median(self.peers) if self.peers and median(self.peers) else None

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; None where there is none."""
        value = self.middle if self.goal_for == "ours" else self.ratio
        if self.goal is None or value is None:
            return None
        return value <= self.goal if self.better == "less" else value >= self.goal

    def worse_than(self, before: Figure) -> float | None:
        """By what factor this is worse than `before`, by the ratios to the peer where both have one; None while it is within
        what runs differ by, or its rounds overlap with those of before. From nothing to something is infinitely worse."""
        now, then = (self, before) if self.better == "less" else (before, self)
        if now.ratio is not None and then.ratio is not None:
            this, that, limit = now.ratio, then.ratio, WORSE_BESIDE_A_PEER_BY
        elif min(now.ours) > max(then.ours):
            this, that, limit = now.middle, then.middle, WORSE_BY
        else:
            return None
        factor = this / that if that else float("inf")
        return factor if factor > limit else None


class Machine(msgspec.Struct, frozen=True, rename="camel"):
    """Where and with what a record was made."""

    processor: str
    cores: int
    system: str
    python: str
    load: float
    """The load average of the minute before."""
    versions: dict[str, str]


class Record(msgspec.Struct, frozen=True, rename="camel"):
    """One run."""

    date: str
    version: str
    """git describe."""
    quick: bool
    machine: Machine
    figures: list[Figure]
    skipped: dict[str, str]
    """What could not be measured, and why."""


def show(value: float) -> str:
    """A number with about three digits that mean something; what is just short of 100, of which a percentage may be, is not
    shown as 100."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if value >= 99.95:
        return f"{floor(value * 100) / 100:.2f}"
    return f"{value:.3g}"


def spread(rounds: list[float]) -> str:
    """The median, and the least and the most where they differ: `131 (128 to 140)`."""
    middle, least, most = show(median(rounds)), show(min(rounds)), show(max(rounds))
    return middle if least == most else f"{middle} ({least} to {most})"


def goal_of(figure: Figure) -> str:
    """The goal in words."""
    if figure.goal is None:
        return ""
    bound = "at most" if figure.better == "less" else "at least"
    return f"{bound} {show(figure.goal)} {'x' if figure.goal_for == 'ratio' else figure.unit}"
