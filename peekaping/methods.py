"""How a call that is written once becomes a method of both clients, and what the calls are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload
from urllib.parse import quote

from peekaping.calls import Call, JsonObject, JsonObjects, Request, T

P = ParamSpec("P")
Way = TypeVar("Way")
Fields = Mapping[str, Any]
Params = Mapping[str, str | int | None]

PAGE = 100
"""Items of a list asked for at once: the most that the server gives."""


class Blocking:
    """How `PeekapingClient` runs calls: they give their result."""


class OnTrio:
    """How `AsyncPeekapingClient` runs them: they give a coroutine."""


class Calls(Generic[Way]):
    """A group of calls; `run` is the client's, which drives a generator to its result."""

    def __init__(self, run: Callable[[Call[Any]], Any]) -> None:
        self._run = run


class Method(Generic[P, T]):
    """A call as a method of both clients, whose types follow from whose it is. See `call`."""

    def __init__(self, function: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._function = function

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[Concatenate[Any, P], Call[T]]: ...
    @overload
    def __get__(self, owner: Calls[Blocking], kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, owner: Calls[OnTrio], kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, owner: Calls[Any] | None, kind: type) -> Any:
        if owner is None:
            return self._function  # for help()
        function = MethodType(self._function, owner)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> Any:
            return owner._run(function(*args, **kwargs))

        return run


def call(function: Callable[Concatenate[Any, P], Call[T]]) -> Method[P, T]:
    """Make a method of a group of calls from the generator function that says what it sends and what it makes of the answers."""
    return Method(function)


def one(method: str, at: str, body: Fields | None = None, *, params: Params | None = None) -> Call[JsonObject]:
    """One request for one object."""
    answer: JsonObject = yield Request(method, at, params or {}, None if body is None else dict(body))
    return answer


def nothing(method: str, at: str) -> Call[None]:
    """One request that is answered by nothing."""
    yield Request(method, at)


def listed(at: str, name: str, params: Params | None = None, *, limit: int | None = None) -> Call[JsonObjects]:
    """The list that answers hold under `name`, page by page, or its first `limit` items."""
    found: JsonObjects = []
    page, of = 1, PAGE if limit is None else min(limit, PAGE)
    while True:
        answer = yield Request("GET", at, {"page": page, "limit": of, **(params or {})})
        found += answer[name]
        if page >= answer["pagination"]["pages"] or (limit is not None and len(found) >= limit):
            return found[:limit]
        page += 1


def path(*parts: str) -> str:
    """Ids are quoted: none leads out of its place. One that is no Unicode is not there either, which the server says."""
    return "".join(f"/{quote(part, safe='', errors='replace')}" for part in parts)


def given(**fields: Any) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None}
