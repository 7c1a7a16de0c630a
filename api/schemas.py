"""JSON schemas of the types that routes name, as the components of an OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from peekaping.api.bodies import Instant

REFERENCE = "#/components/schemas/"


class Schemas:
    """The schemas of these types, and of those that they hold. What is no type of JSON, a media type or None, is left out."""

    def __init__(self, types: Iterable[Any]) -> None:
        named = [kind for type in types for kind in kinds(type) if not isinstance(kind, str)]
        made, self.components = msgspec.json.schema_components(
            named, schema_hook=_schema_of_ours, ref_template=REFERENCE + "{name}"
        )
        self._made = list(zip(named, made, strict=True))

    def of(self, type: Any) -> dict[str, Any]:
        found = [next(schema for named, schema in self._made if named == kind) for kind in kinds(type)]
        return found[0] if len(found) == 1 else {"anyOf": found}

    def properties(self, type: Any) -> dict[str, Any]:
        """The object that a struct's schema refers to."""
        found: dict[str, Any] = self.components[self.of(type)["$ref"].removeprefix(REFERENCE)]
        return found


def kinds(type: Any) -> tuple[Any, ...]:
    """The types of which a route takes one."""
    if type is None:
        return ()
    return type if isinstance(type, tuple) else (type,)


def with_plain_names(document: dict[str, Any]) -> dict[str, Any]:
    """The document without the schemas that nothing refers to, and with names for its readers.

    `HeartbeatShape` is the shape of a heartbeat to us, to them it is a heartbeat: in keys, titles and references alike.
    """
    components = document["components"]["schemas"]
    text = msgspec.json.encode(document)
    for name in list(components):  # those of queries have become parameters
        if f'"{REFERENCE}{name}"'.encode() not in text:
            del components[name]
    text = msgspec.json.encode(document)
    for name in components:
        plain = name.removesuffix("Shape")
        if plain not in components:
            for start in ("", REFERENCE):
                text = text.replace(f'"{start}{name}"'.encode(), f'"{start}{plain}"'.encode())
    renamed: dict[str, Any] = msgspec.json.decode(text)
    return renamed


def _schema_of_ours(kind: type) -> dict[str, Any]:
    if kind is Instant:
        return {
            "description": "an ISO 8601 date or time; without an offset it is UTC",
            "anyOf": [{"type": "string", "format": form} for form in ("date-time", "date")],
        }
    raise NotImplementedError
