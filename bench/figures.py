"""What a run gives: figures, each with all its rounds, and how one stands beside its goal and beside what it was before."""

from __future__ import annotations

from statistics import median
from typing import Literal

import msgspec

WORSE_BY = 1.15
"""A figure within this factor of the kept one is the same: machines vary by as much."""


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
        """Ours for one of the peer's; None without a peer."""
        return self.middle / median(self.peers) if self.peers and median(self.peers) else None

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; None where there is none."""
        value = self.middle if self.goal_for == "ours" else self.ratio
        if self.goal is None or value is None:
            return None
        return value <= self.goal if self.better == "less" else value >= self.goal

    def worse_than(self, before: Figure) -> float | None:
        """By what factor this is worse than `before`; None while their rounds overlap or it is within `WORSE_BY`."""
        now, then = (self, before) if self.better == "less" else (before, self)
        if min(now.ours) <= max(then.ours) or now.middle <= WORSE_BY * then.middle:
            return None
        return now.middle / then.middle if then.middle else float("inf")


class Machine(msgspec.Struct, frozen=True, rename="camel"):
    """Where and with what a record was made."""

    processor: str
    cores: int
    system: str
    python: str
    load: float
    """The load average of the minute before: above a few tenths the figures are not worth much."""
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
    """A number with about three digits that mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
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
