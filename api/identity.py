"""Who a request comes from, what they may ask for, and who wants to know when that ends. Rules over values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import trio

from peekaping.api.describe import ADMIN, OPEN, OPERATOR, READ, SELF, WRITE, Needs
from peekaping.api.errors import ApiError
from peekaping.store.accounts import Role

LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


class Identity(NamedTuple):
    """Somebody who is logged in, or a program with somebody's API key, until `expires_ms`."""

    user: int
    session: str
    """The login's, or the key's own."""
    expires_ms: int
    workspace: int
    role: Role
    operator: bool
    api_key: int | None = None
    may_write: bool = True
    """What an API key's scopes say; a login has them all."""


def refusal(identity: Identity, needs: Needs, method: str) -> ApiError | None:
    """Why somebody may not have what a route gives; None where they may."""
    if needs in (OPEN, READ):
        return None
    if needs is SELF:
        return None if identity.api_key is None else ApiError(403, "This needs a login; an API key does not do")
    if needs is WRITE and identity.role is Role.VIEWER:
        return ApiError(403, "Your role is viewer, which may only look; ask an administrator for another")
    if needs is ADMIN and identity.role is not Role.ADMIN:
        return ApiError(403, f"This is for administrators; your role is {identity.role}")
    if needs is OPERATOR and not identity.operator:
        return ApiError(403, "This is for operators, who run the whole deployment")
    if needs in (ADMIN, OPERATOR) and identity.api_key is not None and method not in LOOKING:
        # Else a key that leaked makes users, who stay when it is revoked.
        return ApiError(403, "This needs a login; an API key does not do")
    if method not in LOOKING and not identity.may_write:
        return ApiError(403, "This API key has the scope read, which may only look; make one with the scope write")
    return None


class Endings:
    """Tells those who watch a login, an API key or a user that it is over."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[trio.Event]] = {}

    @contextmanager
    def watch(self, identity: Identity) -> Iterator[trio.Event]:
        """An event that is set when the identity is one no more, or may do something else than it might."""
        event = trio.Event()
        names = (identity.session, _name(identity.user))
        for name in names:
            self._watchers.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            for name in names:
                self._watchers[name].discard(event)
                if not self._watchers[name]:
                    del self._watchers[name]

    def session(self, session: str) -> None:
        """A login or a key ends."""
        self._tell(session)

    def user(self, user: int) -> None:
        """A user is gone, or is another in the eyes of the law: a new password, other rights."""
        self._tell(_name(user))

    def _tell(self, name: str) -> None:
        for event in self._watchers.get(name, ()):
            event.set()


def _name(user: int) -> str:
    return f"user-{user}"
