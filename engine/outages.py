"""A monitor's outages: each begins with its transition to down and ends with its next one to up.

Pauses, checks that found nothing out and times without an engine neither end an outage nor begin one: what is certain stays so
until another check says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec

from peekaping.engine.records import Heartbeat, Status


class Outage(msgspec.Struct, frozen=True, gc=False):
    """From when to when a target was down; `end` is None while it is."""

    start: int
    end: int | None = None


class Change(NamedTuple):
    """What a batch of heartbeats says of one outage of a monitor."""

    monitor: int
    start: int | None
    """None: it began before the batch. It is then the newest of those before `end`, if that one lasts; else there is none."""
    end: int | None
    """None: it lasts beyond the batch. What has ended stays so: a batch may be stored again."""


def changes(heartbeats: Iterable[Heartbeat]) -> list[Change]:
    """What a batch changes of outages; nothing for nearly all batches."""
    found: list[Change] = []
    certain = [beat for beat in heartbeats if beat.transition and beat.status in (Status.UP, Status.DOWN)]
    certain.sort(key=attrgetter("monitor", "at"))
    for number, group in groupby(certain, key=attrgetter("monitor")):
        run = list(group)
        if run[0].status is Status.UP:
            found.append(Change(number, None, run[0].at))
        for beat, following in zip(run, [*run[1:], None], strict=True):
            if beat.status is Status.DOWN:  # what follows is its end: transitions alternate
                found.append(Change(number, beat.at, None if following is None else following.at))
    return found
