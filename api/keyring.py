"""API keys as the gate needs them: all in memory, so that to know one costs a hash and no database.

A key is `peek_` and 256 random bits, so that scanners for leaked secrets can know it by its start, and a fast hash is enough:
there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from peekaping.api.errors import ApiError, Unauthorized
from peekaping.api.identity import Endings, Identity
from peekaping.engine.ports import StoreFailed
from peekaping.store.accounts import User
from peekaping.store.keys import ApiKey, ApiKeys

log = logging.getLogger(__name__)

PREFIX = "peek_"
SHOWN = len(PREFIX) + 6
PER_USER = 50
USE_NOTED_EVERY_MS = 60_000
"""Of each key: more would be a transaction for each request."""
NEVER_MS = 253_402_300_799_000
"""The end of the year 9999."""


class Keyring:
    """All keys, with their users."""

    def __init__(self, store: ApiKeys, endings: Endings, keys: Iterable[ApiKey], users: Iterable[User]) -> None:
        self._store = store
        self._endings = endings
        self._users: dict[int, User | None] = {user.id: user for user in users}
        """None: removed."""
        self._keys = {key.hash: key for key in keys}

    def identify(self, shown: str, now_ms: int) -> Identity:
        """Whose key it is; raises Unauthorized when it is nobody's, or has ended."""
        key = self._keys.get(_hash(shown))
        if key is None:
            raise Unauthorized("This is not a valid API key")
        if key.expires_ms is not None and key.expires_ms <= now_ms:
            raise Unauthorized("This API key has expired; make another")
        user = self._users[key.user]
        if user is None:
            raise Unauthorized("The user of this API key is no more")
        return Identity(
            user=user.id,
            session=_session(key),
            expires_ms=NEVER_MS if key.expires_ms is None else key.expires_ms,
            workspace=user.workspace,
            role=user.role,
            operator=user.operator,
            api_key=key.id,
            may_write="write" in key.scopes,
        )

    async def note_use(self, shown: str, now_ms: int) -> None:
        """Remember that a key was used. A database that cannot is no reason to refuse the request."""
        key = self._keys.get(_hash(shown))
        if key is None or (key.used_ms is not None and now_ms - key.used_ms < USE_NOTED_EVERY_MS):
            return
        self._keys[key.hash] = replace(key, used_ms=now_ms)
        try:
            await self._store.note_use(key.id, now_ms)
        except StoreFailed as error:
            log.warning("the use of key-%d could not be noted: %s", key.id, error)

    def of_user(self, user: int) -> list[ApiKey]:
        """Oldest first."""
        return [key for key in self._keys.values() if key.user == user]

    async def make(
        self, user: User, name: str, scopes: Sequence[str], *, now_ms: int, expires_ms: int | None
    ) -> tuple[str, ApiKey]:
        """A new key, which nobody sees again, and what is kept of it; refuses more than a user may have."""
        if len(self.of_user(user.id)) >= PER_USER:
            raise ApiError(409, f"You have {PER_USER} API keys, the most there may be; delete one first")
        shown = PREFIX + secrets.token_urlsafe(32)
        key = await self._store.add(
            user.id, name, shown[:SHOWN], _hash(shown), scopes, now_ms=now_ms, expires_ms=expires_ms
        )
        self._users.setdefault(user.id, user)  # one who was changed or removed meanwhile stays so
        self._keys[key.hash] = key
        return shown, key

    async def revoke(self, key: ApiKey) -> None:
        """End a key. In the database first: a cancelled call must not leave a key there that would be back at the next start."""
        await self._store.remove(key.id)
        self._keys.pop(key.hash, None)
        self._endings.session(_session(key))

    def changed(self, user: User) -> None:
        """A user has other rights from now on, and so have the keys."""
        self._users[user.id] = user

    def removed(self, user: int) -> None:
        """A user is gone, and so are the keys."""
        self._users[user] = None
        self._keys = {hash: key for hash, key in self._keys.items() if key.user != user}


def is_key(token: str) -> bool:
    """Whether it is meant to be an API key, and not an access token."""
    return token.startswith(PREFIX)


def _session(key: ApiKey) -> str:
    return f"key-{key.id}"


def _hash(shown: str) -> bytes:
    return hashlib.sha256(shown.encode(errors="replace")).digest()
