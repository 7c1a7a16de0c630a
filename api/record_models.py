"""Records (`engine/fields.py`) as JSON: the fields of a struct made of one, for the OpenAPI document.

Requests are judged by the engine's `parse_fields`, not by these models: it knows which fields go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from peekaping.api.field_docs import meanings
from peekaping.engine.fields import Record, between, text_up_to
from peekaping.engine.monitor import Monitor

Fields = list[Any]
"""What `msgspec.defstruct` takes."""


Ignored = Annotated[Any, Meta(description="the server's own, ignored")]
"""What an update may send back as it was shown."""


def new_fields(kind: type[Record]) -> Fields:
    """To create one: all fields, null stands for the default."""
    hints = _hints(kind)
    return [
        (field.encode_name, hints[field.name])
        if field.required
        else (field.encode_name, hints[field.name] | None, _default(field))
        for field in msgspec.structs.fields(kind)
    ]


def changed_fields(kind: type[Record]) -> Fields:
    """To change one: any of the fields."""
    hints = _hints(kind)
    return [
        (field.encode_name, hints[field.name] | (UnsetType if field.required else UnsetType | None), UNSET)
        for field in msgspec.structs.fields(kind)
    ]


def shown_fields(kind: type[Record]) -> Fields:
    """As it is shown: fields left at "none" are left out, secrets are masked."""
    hints = _hints(kind)
    return [
        (field.encode_name, hints[field.name], UNSET)
        if field.default is None
        else (field.encode_name, hints[field.name])
        for field in msgspec.structs.fields(kind)
    ]


def tag_of(kind: type[Record]) -> str:
    """What `type` says of this kind."""
    return str(kind.__struct_config__.tag)


def _hints(kind: type[Record]) -> dict[str, Any]:
    """The types of the fields without None, with the limits that their rules say, and with what they mean."""
    hints: dict[str, Any] = {}
    means = meanings("monitors" if issubclass(kind, Monitor) else "channels", tag_of(kind))
    given = get_type_hints(kind, include_extras=True)
    for name, json_name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        plain, *said = get_args(given[name]) if get_origin(given[name]) is Annotated else (given[name],)
        choices = tuple(choice for choice in get_args(plain) if choice is not NoneType)
        if len(choices) < len(get_args(plain)):
            plain = Union[choices]  # noqa: UP007 (computed)
        rule = kind.rules.get(name)
        said += [rule.limits] if isinstance(rule, between | text_up_to) else []
        if json_name in means:
            said.append(Meta(description=_description(said, means[json_name])))
        hints[name] = Annotated[plain, *said] if said else plain
    return hints


def _description(said: Sequence[Meta], meaning: str) -> str:
    """What is wanted, which says the unit of a number, and what it means."""
    wanted = next((meta.description for meta in said if meta.description), "")
    said_already = wanted.startswith("one of") or meaning.replace("`", "").startswith(wanted)
    return meaning if said_already else f"{wanted}: {meaning}"


def _default(field: msgspec.structs.FieldInfo) -> Any:
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else msgspec.field(default_factory=made)
