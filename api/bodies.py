"""What comes in: JSON bodies and query values, read into small structs with everything that is wrong said at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo
from quart import request

from peekaping.api.errors import ApiError

T = TypeVar("T", bound=msgspec.Struct)

Name = Annotated[str, Meta(min_length=1, max_length=200, description="a text of 1 to 200 characters")]
Proof = Annotated[str, Meta(min_length=1, max_length=1000, description="a text of 1 to 1000 characters")]
"""What somebody shows to be let in: an e-mail address, a password, a code, a token."""


class Instant(int):
    """Milliseconds of UTC, written as an ISO 8601 date or time; a date alone is its midnight, without an offset it is UTC."""


_PLAIN = {bool: "true or false", str: "a text", Instant: "an ISO 8601 date or time such as 2024-01-20T10:30:00Z"}


async def json_object(*, without: Collection[str] = ()) -> dict[str, Any]:
    """The request's body. No body is an empty object. `without` are the fields that are shown and not for changing: a change
    passes them over, so that what was read can be sent back.

    Raises:
      ApiError: 400 where it is no JSON, 422 where it is no object.
      RequestEntityTooLarge: it is larger than the app takes.
    """
    found = object_of(await request.get_data(cache=False))
    return {name: value for name, value in found.items() if name not in without} if without else found


def object_of(data: bytes | str | None) -> dict[str, Any]:
    """The JSON object that `data` holds; see `json_object`."""
    try:
        value = msgspec.json.decode(data) if data else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, f"This is not JSON: {error}", code="INVALID_JSON") from error
    except RecursionError as error:
        raise ApiError(400, "This JSON is nested too deeply", code="INVALID_JSON") from error
    if not isinstance(value, dict):
        raise ApiError(422, "A JSON object is needed", details={"body": ["Body must be a JSON object"]})
    return value


def read(kind: type[T], data: Mapping[str, Any], message: str) -> T:
    """Make a `kind` of a JSON object, or refuse it with every wrong field at once, unknown ones among them.

    Raises:
      ApiError: 422.
    """
    return _convert(kind, data, message, errors=_unknown(kind, data), strict=True)


def query(kind: type[T], *, once: bool = True) -> T:
    """The request's query values as a `kind`. An unknown name is refused: a filter that was misspelt must not look like one.
    So is a name that is there twice: only one of its values could be meant.

    Raises:
      ApiError: 422.
    """
    given = request.args
    errors = _unknown(kind, given)
    if once:
        errors |= {
            name: [f"{_label(name)} is given more than once"] for name, values in given.lists() if len(values) > 1
        }
    return _convert(kind, given, "Invalid query", errors=errors, strict=False)


def no_query() -> None:
    """Refuse every query value, for a route that has none.

    Raises:
      ApiError: 422.
    """
    if request.query_string and (names := request.args):
        raise ApiError(422, "Invalid query", details={name: ["Unknown field"] for name in names})


def _unknown(kind: type[msgspec.Struct], data: Mapping[str, Any]) -> dict[str, list[str]]:
    return {name: ["Unknown field"] for name in data if name not in _fields(kind)}


@cache  # looking at a type costs more than the rest of a short request
def _fields(kind: type[msgspec.Struct]) -> dict[str, tuple[FieldInfo, Any]]:
    """The fields and their types with what is annotated, by their JSON names."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.encode_name: (field, hints[field.name]) for field in msgspec.structs.fields(kind)}


def _convert(kind: type[T], data: Mapping[str, Any], message: str, *, errors: dict[str, list[str]], strict: bool) -> T:
    values: dict[str, Any] = {}
    for name, (field, hint) in _fields(kind).items():
        if name not in data:
            if field.required:
                errors[name] = [f"{_label(name)} is required"]
            continue
        try:
            values[field.name] = msgspec.convert(data[name], hint, strict=strict, dec_hook=_decode)
        except msgspec.ValidationError as error:
            words = wanted(hint)
            errors[name] = [f"{_label(name)} must be {words}" if words else f"{_label(name)}: {error}"]
    if errors:
        raise ApiError(422, message, details=errors)
    return kind(**values)


def wanted(hint: Any) -> str | None:
    """What a value of this type is, in words; None where the decoder's own words must do."""
    for part in get_args(hint):
        if isinstance(part, Meta) and part.description:
            return part.description
    if choices := list(filter(None, _choices(hint))):  # a query may also leave a value empty
        return f"one of: {', '.join(choices)}"
    if get_origin(hint) in (Union, UnionType):
        return next(filter(None, map(wanted, get_args(hint))), None)
    return _PLAIN.get(hint)


def _choices(hint: Any) -> list[str]:
    """The words that a field may say, where it may not say anything else."""
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return [str(choice) for choice in hint]
    return [choice for part in get_args(hint) for choice in _choices(part)]


def _label(name: str) -> str:
    return name[:1].upper() + name[1:]


def _decode(kind: type, value: Any) -> Any:
    if kind is not Instant:
        raise NotImplementedError
    try:
        moment = datetime.fromisoformat(value)
        # In UTC it must have a year from 1 to 9999 as well, else it could never be shown.
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(_PLAIN[Instant]) from None
    return Instant(moment.timestamp() * 1000)
