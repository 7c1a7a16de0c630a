"""Monitors as other things name them: by id in a body, by number in the store."""

from __future__ import annotations

from collections.abc import Sequence

from peekaping.api.errors import ApiError
from peekaping.engine.engine import Engine
from peekaping.engine.errors import NoSuchMonitor
from peekaping.engine.records import Snapshot, monitor_id


def monitor_numbers(
    engine: Engine, workspace: int, ids: Sequence[str], message: str, *, field: str = "monitors"
) -> tuple[int, ...]:
    """The numbers of these monitors, each once, in this order.

    Raises:
      ApiError: 422 where one is not there, or belongs to another workspace.
    """
    numbers: dict[int, None] = {}
    missing: list[str] = []
    for id in ids:
        try:
            entry = engine.get(id).entry
        except NoSuchMonitor:
            missing.append(id)
            continue
        if entry.workspace == workspace:
            numbers[entry.number] = None
        else:
            missing.append(id)
    if missing:
        named = ", ".join(id[:40] for id in missing[:10])
        problem = f"{field.capitalize()} names monitors that do not exist: {named}"
        raise ApiError(422, message, details={field: [problem]})
    return tuple(numbers)


def snapshot_of(engine: Engine, number: int) -> Snapshot | None:
    """A monitor; None when it was deleted a moment ago."""
    try:
        return engine.get(monitor_id(number))
    except NoSuchMonitor:
        return None
