"""A value within a JSON text, found by JSONPath (RFC 9535) and compared with what is expected.

Who may write a query must not be able to hold up the others with it. So a query has a cost, the steps that each value of the
body takes at most: what costs much or looks again and again is refused, and so are the functions `match` and `search`, whose
regular expressions can take for ever.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import msgspec
from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError, JSONPathQuery, JSONPathRecursionError
from jsonpath_rfc9535.filter_expressions import ComparisonExpression, Expression, FilterQuery, RootFilterQuery
from jsonpath_rfc9535.segments import JSONPathRecursiveDescentSegment
from jsonpath_rfc9535.selectors import FilterSelector

Condition = Literal["==", "!=", "<", "<=", ">", ">=", "contains"]

LONGEST_TEXT = 1000
"""Characters of a query and of what is expected."""
HIGHEST_COST = 16
"""Of a query: `$.a.b` costs 3, `$[*,*][*,*]` 7, `$[?@.a > 1]` 6."""
_BOM = b"\xef\xbb\xbf"
_SHOWN = 100


class Expected(NamedTuple):
    """What a value is compared with, made once for all checks."""

    text: str
    number: int | float | None


class _Environment(JSONPathEnvironment):
    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        del self.function_extensions["match"], self.function_extensions["search"]


_environment = _Environment()


def compile_path(query: str) -> JSONPathQuery:
    """A query, ready for use.

    Raises:
      ValueError: with what is wrong with it.
    """
    try:
        path = _environment.compile(query)
        cost = cost_of(path)
    except (JSONPathError, RecursionError) as error:
        raise ValueError(f"is no JSONPath: {error}") from error
    if cost > HIGHEST_COST:
        raise ValueError(
            f"takes more than {HIGHEST_COST} steps: names, wildcards, and all within a filter, count one each"
        )
    return path


def cost_of(path: JSONPathQuery) -> int:
    """The steps that a value of the body takes at most; raises ValueError where that depends on the body."""
    return _cost(path, may_descend=True)


def _cost(path: JSONPathQuery, *, may_descend: bool) -> int:
    cost = ways = 1  # after `[*,*]` each value is there in two ways
    for segment in path.segments:
        if isinstance(segment, JSONPathRecursiveDescentSegment):
            if not may_descend:
                raise ValueError("may use .. only once, and not within a filter")
            may_descend = False
        cost += ways * len(segment.selectors)
        for selector in segment.selectors:
            if isinstance(selector, FilterSelector):
                cost += ways * sum(map(_cost_of_part, _parts(selector.expression.expression)))
        ways *= len(segment.selectors)
    return cost


def _cost_of_part(part: Expression) -> int:
    if isinstance(part, ComparisonExpression) and all(
        any(isinstance(operand, RootFilterQuery) for operand in _parts(side)) for side in (part.left, part.right)
    ):
        raise ValueError("may compare by a filter with one value of $, not two with each other")  # as large as the body
    if not isinstance(part, FilterQuery):
        return 1
    if isinstance(part, RootFilterQuery) and not part.query.singular_query():
        raise ValueError("may use $ within a filter only for a single value such as $.limit")
    return _cost(part.query, may_descend=False)


def _parts(expression: Expression) -> Iterator[Expression]:
    """An expression and all that it is made of."""
    yield expression
    for name in ("left", "right", "args"):
        part = getattr(expression, name, None)
        for operand in part if isinstance(part, list) else (part,):
            if isinstance(operand, Expression):
                yield from _parts(operand)


def path_rule(query: str) -> str | None:
    if len(query) > LONGEST_TEXT:
        return f"must have at most {LONGEST_TEXT} characters"
    try:
        compile_path(query)
    except ValueError as error:
        return str(error)
    return None


def expected_rule(value: str | int | float | bool) -> str | None:
    return f"must have at most {LONGEST_TEXT} characters" if len(_text(value)) > LONGEST_TEXT else None


def expected_of(value: str | int | float | bool) -> Expected:
    return Expected(_text(value), number_in(value))


def number_in(value: Any) -> int | float | None:
    """The number that a JSON value is, or that a text spells in JSON; None when it is none. True and false are none."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def problem_in_json(
    data: bytes, path: JSONPathQuery, condition: Condition, expected: Expected
) -> tuple[str, str] | None:
    """A reason code and a message when not all values at `path` fulfil the condition, or there is none; None when all is well.

    Numbers are compared as numbers when both sides are some (`expected` may spell one), all else as texts.
    """
    try:
        found = path.find(msgspec.json.decode(data.removeprefix(_BOM))).values()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return "json_invalid", f"The body is not JSON: {error}"
    except (RecursionError, JSONPathRecursionError):
        return "json_too_deep", "The JSON is nested too deep"
    if not found:
        return "json_path_missing", f"Nothing in the body is at {path}"
    for value in found:
        if not _fulfils(value, condition, expected):
            shown = _text(value)
            shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
            return "json_value", f"The value at {path} is {shown}, expected {condition} {expected.text}"
    return None


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _fulfils(value: Any, condition: Condition, expected: Expected) -> bool:
    if condition == "contains":
        if isinstance(value, list):
            return any(_is_equal(item, expected) for item in value)
        return expected.text in _text(value)
    if condition in ("==", "!="):
        return _is_equal(value, expected) == (condition == "==")
    number = number_in(value) if not isinstance(value, str) else None
    return number is not None and expected.number is not None and _ORDER[condition](number, expected.number)


def _is_equal(value: Any, expected: Expected) -> bool:
    if not isinstance(value, str):  # a text is a text, also one of digits: "007" is not "7"
        number = number_in(value)
        if number is not None and expected.number is not None:
            return number == expected.number
    return _text(value) == expected.text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
