"""What a route is for, whom it lets in, and what goes in and out: said once, beside the route.

The gate reads from it who may pass, the OpenAPI document is made of it, and a test fails for a route without it, so that none is
open, or undocumented, because a line was forgotten. It stands directly under the route's decorator:

    @blueprint.post("/monitors")
    @described("Create a monitor", needs=WRITE, body=NewMonitor, answers={201: Monitor})
    async def create() -> Response: ...

The view's docstring, where it has one, is the longer text that readers of the API get to see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

View = TypeVar("View", bound=Callable[..., Any])


class Needs(StrEnum):
    """Whom a route lets in."""

    OPEN = "open"
    """Everybody; what the route does on its own about tokens is its own affair."""
    READ = "read"
    """Every user of a workspace, and keys with the scope read."""
    WRITE = "write"
    """Editors, administrators, and keys with the scope write."""
    SELF = "self"
    """Every user, for what is the user's own: a login is needed, an API key does not do."""
    ADMIN = "admin"
    """Administrators of the workspace."""
    OPERATOR = "operator"
    """Who runs the deployment."""


OPEN, READ, WRITE, SELF, ADMIN, OPERATOR = Needs


class Description(NamedTuple):
    """See `described`."""

    summary: str
    needs: Needs
    body: Any
    query: Any
    answers: Mapping[int, Any]
    errors: tuple[int, ...]


def described(
    summary: str,
    *,
    needs: Needs,
    answers: Mapping[int, Any],
    body: Any = None,
    query: Any = None,
    errors: tuple[int, ...] = (),
) -> Callable[[View], View]:
    """Describe a route.

    Args:
      summary: a few words in the imperative.
      body: what `bodies.read` makes of the request's body: a Struct, or a union of them. None: it takes no body.
      query: what `bodies.query` makes of its query, whatever the method.
      answers: by status what goes out: a Struct or TypedDict (or list, union, ... of them), None for no body, or a media type
        such as "text/csv" for what is no JSON.
      errors: the statuses of refusals beyond those that follow from the rest: 401 and 403 unless open, 404 where the path has a
        parameter, 400, 408, 413 and 422 for a body, 422 for a query and, unless open, for one that the route does not have, 429,
        500 and 503 for all.
    """
    for answer in answers.values():
        if isinstance(answer, str) and "/" not in answer:
            raise ValueError(f"{summary}: {answer!r} is no media type; give the type of the answer itself")
    description = Description(summary, Needs(needs), body, query, answers, errors)

    def keep(view: View) -> View:
        view.__dict__["described"] = description
        return view

    return keep


def description_of(view: Callable[..., Any]) -> Description | None:
    """What `described` said of a view, as it stands in `app.view_functions`."""
    found = getattr(view, "described", None)
    return found if isinstance(found, Description) else None
