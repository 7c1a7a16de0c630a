"""What a monitor is: the fields all kinds share, and how input becomes one or a clear list of what is wrong with it.

A kind (`probes/http.py`, `probes/push.py`) adds its fields by subclassing `Monitor` and its rules by extending `rules`.
Rules are functions of one value; the two that look at several fields are in `check_together`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo

from peekaping.engine.errors import Invalid
from peekaping.engine.secrets import MASK, changed, masked

Errors = dict[str, list[str]]
Rule = Callable[[Any], str | None]
"""None when the value is fine, else what is wrong, as the end of a sentence that starts with the field's name."""

DEFAULT_INTERVAL_MS = 60_000
DEFAULT_TIMEOUT_MS = 30_000
DAY_MS = 86_400_000


class Notifications(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Whom a monitor tells."""

    enabled: bool = True
    channels: tuple[str, ...] = ()


def between(low: int, high: int, unit: str = "") -> Rule:
    """A rule for whole numbers; both ends are allowed."""

    def rule(value: int) -> str | None:
        return None if low <= value <= high else f"must be between {low} and {high}{unit}"

    return rule


def text_up_to(length: int) -> Rule:
    """A rule for texts that must say something."""

    def rule(value: str) -> str | None:
        if not value.strip():
            return "is required"
        return None if len(value) <= length else f"must have at most {length} characters"

    return rule


class Monitor(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel", tag_field="type"):
    """The fields of every kind. Spans are milliseconds (`../docs/api.md` lists them with their defaults)."""

    name: Annotated[str, Meta(description="a text")]
    interval: Annotated[int, Meta(description="a whole number of milliseconds")] = DEFAULT_INTERVAL_MS
    timeout: Annotated[int | None, Meta(description="a whole number of milliseconds")] = None
    retries: Annotated[int, Meta(description="a whole number")] = 0
    retry_interval: Annotated[int | None, Meta(description="a whole number of milliseconds")] = None
    notifications: Annotated[Notifications, Meta(description='an object such as {"enabled": true, "channels": []}')] = (
        msgspec.field(default_factory=Notifications)
    )

    rules: ClassVar[dict[str, Rule]] = {
        "name": text_up_to(200),
        "timeout": between(100, DAY_MS, " milliseconds"),
        "retries": between(0, 1000),
        "notifications": lambda value: (
            f"names channels that do not exist: {', '.join(value.channels)}" if value.channels else None
        ),
    }
    labels: ClassVar[dict[str, str]] = {"url": "URL"}
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Fields, in camelCase, that are written and never shown: `MASK` stands for them."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def timeout_ms(self) -> int:
        """One budget for a whole check. By default 30 s, or the interval where that is shorter."""
        return self.timeout if self.timeout is not None else min(DEFAULT_TIMEOUT_MS, self.interval)

    @property
    def retry_interval_ms(self) -> int:
        return self.retry_interval if self.retry_interval is not None else self.interval

    @property
    def hold_ms(self) -> int:
        """How long a heartbeat speaks for the target when no other follows: beyond it nobody was watching.

        The interval, the longest check, and a second for our own lateness.
        """
        return max(self.interval, self.retry_interval_ms) + self.timeout_ms + 1000

    def computed(self) -> dict[str, int]:
        """Fields whose default depends on others, as they are in force."""
        return {"timeout": self.timeout_ms}

    def check_together(self) -> Errors:
        """What is wrong with fields that are fine each alone."""
        if self.timeout is not None and self.timeout > self.interval:
            return {"timeout": ["Timeout must not be longer than the interval"]}
        return {}


def parse(kind: type[Monitor], data: Mapping[str, Any], *, min_interval_ms: int) -> Monitor:
    """Make a monitor of `kind` from camelCase fields, or say everything that is wrong with them.

    `None` for a field means its default, so that a field can be taken back by an update. `type` must not be among the
    fields: the caller chose the kind by it.

    Raises:
      Invalid: with all wrong fields at once.
    """
    errors: Errors = {}
    values: dict[str, Any] = {}
    fields = _fields(kind)
    rules = {
        **kind.rules,
        "interval": _interval_rule(min_interval_ms),
        "retry_interval": _interval_rule(min_interval_ms),
    }
    for name in data:
        if name not in fields:
            errors[name] = [f"Unknown field for a monitor of type {kind.__struct_config__.tag}"]
    for name, (field, hint) in fields.items():
        label = kind.labels.get(field.name) or _label(field.name)
        value = data.get(name)
        if value is None:
            if field.required:
                errors[name] = [f"{label} is required"]
            continue
        try:
            value = values[field.name] = msgspec.convert(value, hint)
        except msgspec.ValidationError:
            errors[name] = [f"{label} must be {_description(hint)}"]
            continue
        rule = rules.get(field.name)
        if name in kind.secrets and value == MASK:
            errors[name] = [f"{label} is masked; give the secret itself"]
        elif rule is not None and (problem := rule(value)) is not None:
            errors[name] = [f"{label} {problem}"]
    if not errors:
        monitor = kind(**values)
        errors = monitor.check_together()
        if not errors:
            return monitor
    raise Invalid("Invalid monitor configuration", errors)


def fields_of(monitor: Monitor) -> dict[str, Any]:
    """The monitor's fields as JSON knows them, without those left at "none", and with its secrets masked."""
    fields = masked({**msgspec.to_builtins(monitor), **monitor.computed()}, monitor.secrets)
    return {name: value for name, value in fields.items() if value is not None}


def changed_fields(monitor: Monitor, changes: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a monitor after these changes, for `parse` to judge; `secrets.changed` says which secrets stay."""
    return changed(msgspec.to_builtins(monitor), changes, monitor.secrets)


@cache
def _fields(kind: type[Monitor]) -> dict[str, tuple[FieldInfo, Any]]:
    """The fields and their types with what is annotated, by their JSON names."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.encode_name: (field, hints[field.name]) for field in msgspec.structs.fields(kind)}


def _interval_rule(min_interval_ms: int) -> Rule:
    def rule(value: int) -> str | None:
        if value < min_interval_ms:
            least = f"{min_interval_ms / 1000:g} seconds" if min_interval_ms != 1000 else "1 second"
            return f"must be at least {least}"
        return None if value <= 366 * DAY_MS else "must be at most 366 days"

    return rule


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _description(hint: Any) -> str:
    for part in get_args(hint):
        if isinstance(part, Meta) and part.description:
            return part.description
    return "of another type"
