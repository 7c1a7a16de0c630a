"""What an incident may be: the bodies that make and change one, and how its status and its end agree."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from peekaping.api.bodies import Instant
from peekaping.api.errors import ApiError
from peekaping.store.incidents import Incident

INVALID = "Invalid incident"
END_OF_TIME_MS = 4_102_444_800_000


class IncidentStatus(StrEnum):
    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


Title = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S", description="a text of 1 to 200 characters")]
Message = Annotated[
    str, Meta(min_length=1, max_length=5000, pattern=r"\S", description="a text of 1 to 5000 characters")
]
Monitors = Annotated[list[str], Meta(max_length=500, description="a list of at most 500 monitor ids")]


class NewIncident(Struct, rename="camel"):
    title: Title
    status: IncidentStatus = IncidentStatus.INVESTIGATING
    start_time: Instant | None = None
    """None: now."""
    end_time: Instant | None = None
    monitors: Monitors = []


class IncidentChanges(Struct, rename="camel"):
    """What is left out stays."""

    title: Title | UnsetType = UNSET
    status: IncidentStatus | UnsetType = UNSET
    start_time: Instant | UnsetType = UNSET
    end_time: Instant | UnsetType | None = UNSET
    monitors: Monitors | UnsetType = UNSET


def changed(incident: Incident, changes: IncidentChanges, monitors: Sequence[int] | UnsetType, now: int) -> Incident:
    """The incident with these changes; one that is taken up again has no end.

    Raises:
      ApiError: 422.
    """
    status = incident.status if changes.status is UNSET else changes.status
    end = incident.end if status == IncidentStatus.RESOLVED else None
    after = replace(
        incident,
        title=incident.title if changes.title is UNSET else changes.title,
        status=status,
        start=incident.start if changes.start_time is UNSET else int(changes.start_time),
        end=end if changes.end_time is UNSET else changes.end_time,
        monitors=incident.monitors if monitors is UNSET else tuple(monitors),
    )
    return settled(after, now) if incident.opened_by is None else _still_the_monitors(incident, after)


def settled(incident: Incident, now: int) -> Incident:
    """An incident by hand, whose end and status agree: what is resolved without an end ends now.

    Raises:
      ApiError: 422.
    """
    is_resolved = incident.status == IncidentStatus.RESOLVED
    start, end = incident.start, incident.end
    if end is None and is_resolved:
        end = max(now, start)
    errors: dict[str, list[str]] = {}
    if not 0 <= start < END_OF_TIME_MS:
        errors["startTime"] = ["StartTime must be between 1970 and 2100"]
    if end is not None and not is_resolved:
        errors["endTime"] = ["EndTime is for incidents whose status is resolved"]
    elif end is not None and not start <= end < END_OF_TIME_MS:
        errors["endTime"] = ["EndTime must not be before startTime, nor after 2100"]
    if errors:
        raise ApiError(422, INVALID, details=errors)
    return replace(incident, end=end)


def _still_the_monitors(before: Incident, after: Incident) -> Incident:
    """A monitor's incident is over when the monitor says so, and when it was is no opinion."""
    errors = {
        name: [f"{name[0].upper()}{name[1:]} follows the monitor that opened this incident, and cannot be changed"]
        for name, is_same in (
            ("startTime", after.start == before.start),
            ("monitors", after.monitors == before.monitors),
            ("endTime", after.end == before.end or (after.end is None and after.status != IncidentStatus.RESOLVED)),
            ("status", (after.status == IncidentStatus.RESOLVED) == (before.end is not None)),
        )
        if not is_same
    }
    if errors:
        raise ApiError(422, INVALID, details=errors)
    return after
