"""What users describe in fields, monitors and channels: how input becomes a record, or a clear list of what is wrong with it.

A kind adds its fields by subclassing, and its rules by extending `rules`. Rules are functions of one value; those that look at
several fields are in `check_together`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo

from peekaping.engine.errors import Invalid
from peekaping.engine.secrets import MASK, changed, masked

Errors = dict[str, list[str]]
Rule = Callable[[Any], str | None]
"""None when the value is fine, else what is wrong, as the end of a sentence that starts with the field's name."""


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel", tag_field="type"):
    """Fields that a user gives, of one kind of a thing (`type`)."""

    rules: ClassVar[dict[str, Rule]] = {}
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Fields, in camelCase, that are written and never shown: `MASK` stands for them."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)

    def check_together(self) -> Errors:
        """What is wrong with fields together. Each is of its type, and may break its own rule, which is said beside this."""
        return {}


R = TypeVar("R", bound=Record)
_ACRONYMS = frozenset({"api", "ca", "http", "id", "ip", "json", "sid", "tls", "ttl", "url"})


@dataclass(frozen=True)
class between:  # noqa: N801 - a rule, which says its limits as well
    """A rule for whole numbers; both ends are allowed."""

    low: int
    high: int
    unit: str = ""

    def __call__(self, value: int) -> str | None:
        return None if self.low <= value <= self.high else f"must be between {self.low} and {self.high}{self.unit}"

    @property
    def limits(self) -> Meta:
        return Meta(ge=self.low, le=self.high)


@dataclass(frozen=True)
class text_up_to:  # noqa: N801
    """A rule for texts that must say something."""

    length: int

    def __call__(self, value: str) -> str | None:
        if not value.strip():
            return "is required"
        return None if len(value) <= self.length else f"must have at most {self.length} characters"

    @property
    def limits(self) -> Meta:
        return Meta(min_length=1, max_length=self.length)


def parse_fields(
    kind: type[R], data: Mapping[str, Any], *, thing: str, heading: str, more_rules: Mapping[str, Rule] | None = None
) -> R:
    """Make a record of `kind` from camelCase fields, or say everything that is wrong with them.

    `None` for a field means its default, so that a field can be taken back by an update. `type` must not be among the
    fields: the caller chose the kind by it. `thing` is what users call it.

    Raises:
      Invalid: with `heading` and all wrong fields at once.
    """
    errors: Errors = {}
    values: dict[str, Any] = {}
    fields = _fields(kind)
    is_read = True
    """Whether all values are what the user gave, right or wrong."""
    rules = {**kind.rules, **(more_rules or {})}
    for name in data:
        if name not in fields:
            errors[name] = [f"Unknown field for a {thing} of type {kind.__struct_config__.tag}"]
    for name, (field, hint) in fields.items():
        label = _label(field.name)
        value = data.get(name)
        if value is None:
            if field.required:
                errors[name], is_read = [f"{label} is required"], False
            continue
        try:
            value = values[field.name] = msgspec.convert(value, hint)
        except (msgspec.ValidationError, UnicodeEncodeError):
            errors[name], is_read = [f"{label} must be {_description(hint)}"], False
            continue
        rule = rules.get(field.name)
        if not _is_encodable(value):
            errors[name], is_read = [f"{label} must be text that UTF-8 can encode"], False
        elif name in kind.secrets and value == MASK:
            errors[name], is_read = [f"{label} is masked; give the secret itself"], False
        elif rule is not None and (problem := rule(value)) is not None:
            errors[name] = [f"{label} {problem}"]
    if is_read:
        record = kind(**values)
        errors = record.check_together() | errors
        if not errors:
            return record
    raise Invalid(heading, errors)


def shown_fields(record: Record, computed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields as JSON knows them, without those left at "none", and with the secrets masked."""
    fields = masked({**msgspec.to_builtins(record), **(computed or {})}, record.secrets)
    return {name: value for name, value in fields.items() if value is not None}


def changed_fields(record: Record, changes: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a record after these changes, to be judged anew; `secrets.changed` says which secrets stay."""
    return changed(msgspec.to_builtins(record), changes, record.secrets)


@cache
def _fields(kind: type[Record]) -> dict[str, tuple[FieldInfo, Any]]:
    """The fields and their types with what is annotated, by their JSON names."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.encode_name: (field, hints[field.name]) for field in msgspec.structs.fields(kind)}


def _is_encodable(value: Any) -> bool:
    """Whether it can be stored and shown: half of a surrogate pair cannot, which Python's texts may hold."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def _label(name: str) -> str:
    """A field's name as people write it: JSON query for `json_query`, From for `from_`."""
    text = " ".join(word.upper() if word in _ACRONYMS else word for word in name.replace("_", " ").split())
    return text[:1].upper() + text[1:]


def _description(hint: Any) -> str:
    for part in get_args(hint):
        if isinstance(part, Meta) and part.description:
            return part.description
    return "of another type"
