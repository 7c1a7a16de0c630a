"""A monitor as JSON, each type with its own fields: to create one, to change one, and as it is shown.

Made from the engine's kinds (`engine/probes`), so the OpenAPI document follows them by itself.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict, Union

from msgspec import UNSET, Meta, Struct, defstruct

from peekaping.api.record_models import Ignored, changed_fields, new_fields, shown_fields, tag_of
from peekaping.api.shapes import CertificateShape, Milliseconds, PaginationShape, Time
from peekaping.engine.monitor import Monitor
from peekaping.engine.probes import KINDS
from peekaping.engine.records import Status

SERVERS_OWN: list[tuple[str, Any]] = [
    ("id", str),
    ("status", Status),
    ("lastCheck", Time | None),
    ("lastMessage", str | None),
    ("responseTime", Milliseconds | None),
    ("certificate", CertificateShape | None),
    ("createdAt", Time),
    ("updatedAt", Time),
]
"""What the server adds. An update may send it back, and it is ignored."""


def _new(kind: type[Monitor]) -> type[Struct]:
    fields, name = new_fields(kind), f"New{kind.__name__}"
    return defstruct(name, fields, kw_only=True, tag_field="type", tag=tag_of(kind), forbid_unknown_fields=True)


def _changes(kind: type[Monitor]) -> type[Struct]:
    ignored: list[Any] = [(name, Ignored, UNSET) for name in ("type", "pushId", *(name for name, _ in SERVERS_OWN))]
    return defstruct(
        f"{kind.__name__}Changes", changed_fields(kind) + ignored, kw_only=True, forbid_unknown_fields=True
    )


def _shown(kind: type[Monitor]) -> type[Struct]:
    push = [("pushId", str)] if tag_of(kind) == "push" else []
    fields = [*SERVERS_OWN, *push, *shown_fields(kind)]
    return defstruct(kind.__name__, fields, kw_only=True, tag_field="type", tag=tag_of(kind))


_KINDS = [kind for kind, _ in KINDS.values()]
NewMonitor: Any = Union[tuple(map(_new, _KINDS))]  # noqa: UP007 (computed)
MonitorChanges = tuple(map(_changes, _KINDS))
"""Not a union: nothing in a change says of which type it is, the monitor does."""
MonitorShape: Any = Union[tuple(map(_shown, _KINDS))]  # noqa: UP007 (computed)
MonitorType = Annotated[str, Meta(extra_json_schema={"enum": list(KINDS)})]


class MonitorsShape(TypedDict):
    monitors: list[MonitorShape]
    pagination: PaginationShape
