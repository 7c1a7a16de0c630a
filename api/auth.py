"""Logins: access tokens, refresh tokens, sessions, and the first user.

A login opens a session. Its refresh token is random, stored hashed, good for 30 days and for one use: each use gives a new one,
and using an old one again ends the session, because then somebody has a copy. Its access tokens are signed, live 15 minutes
and are checked without the database, the user's rights included; so that the end of a session ends them too, the sessions
that ended within the last 15 minutes are kept in memory. Whoever gets other rights has to log in again.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jwt

from peekaping.api.errors import Unauthorized
from peekaping.api.identity import Endings, Identity
from peekaping.api.passwords import hash_password, make_password
from peekaping.api.settings import ApiSettings
from peekaping.engine.clock import DAY_MS, MINUTE_MS, utc_ms
from peekaping.store.accounts import Accounts, Role, Rotation, User

log = logging.getLogger(__name__)

ACCESS_MS = 15 * MINUTE_MS
REFRESH_MS = 30 * DAY_MS
DEFAULT_EMAIL = "admin@localhost"
TOKENS_KNOWN = 1000
"""Access tokens whose signature need not be checked again: a program sends the same one with each request."""


class Tokens(NamedTuple):
    access: str
    refresh: str


class Sessions:
    """Opens, renews and ends sessions, and knows whom a token belongs to."""

    def __init__(self, accounts: Accounts, endings: Endings, key: bytes, ended: list[str], now_ms: int) -> None:
        self._accounts = accounts
        self._endings = endings
        self._key = key
        self._identity_in = lru_cache(TOKENS_KNOWN)(partial(_identity_in, key))
        self._ended = dict.fromkeys(ended, now_ms)
        """Sessions that may still have living access tokens, with the time of their end, oldest first."""

    @classmethod
    async def load(cls, accounts: Accounts, endings: Endings, now_ms: int) -> Sessions:
        ended = await accounts.ended_sessions(now_ms - ACCESS_MS)
        return cls(accounts, endings, await accounts.secret("access-tokens"), ended, now_ms)

    async def open(self, user: User, address: str, now_ms: int) -> Tokens:
        """A new session of a user whose password was right.

        Raises:
          Unauthorized: the user was changed meanwhile; what is opened from here on, such a change ends.
        """
        secret = secrets.token_urlsafe(32)
        session = await self._accounts.open_session(user.id, address, _hash(secret), now_ms, now_ms + REFRESH_MS)
        if await self._accounts.user(user.id) != user:
            await self._accounts.end_session(session, now_ms)
            raise Unauthorized("This user was changed a moment ago; log in again")
        return self._tokens(user, session, secret, now_ms)

    async def renew(self, refresh_token: str, now_ms: int) -> tuple[Tokens, User]:
        """New tokens for a refresh token, which is used up by it.

        Raises:
          Unauthorized: it is no refresh token, too old, or used before; in the last case the session is over.
        """
        session, _, old = refresh_token.partition(".")
        new = secrets.token_urlsafe(32)
        rotation, user_id = await self._accounts.rotate_session(
            session, _hash(old), _hash(new), now_ms, now_ms + REFRESH_MS
        )
        if rotation is Rotation.REUSED:
            self._ends([session], now_ms)
            raise Unauthorized("This refresh token was used before, so its session has been ended; log in again")
        user = await self._accounts.user(user_id) if user_id is not None else None
        if user is None:
            raise Unauthorized("This refresh token is not valid any more; log in again")
        return self._tokens(user, session, new, now_ms), user

    async def end(self, identity: Identity, now_ms: int) -> None:
        await self._accounts.end_session(identity.session, now_ms)
        self._ends([identity.session], now_ms)

    async def end_all(self, identity: Identity, now_ms: int) -> None:
        """End all the user's sessions."""
        self.ended(identity.user, await self._accounts.end_sessions(identity.user, now_ms), now_ms)

    def ended(self, user: int, sessions: Iterable[str], now_ms: int) -> None:
        """These sessions of a user have been ended in the database; all the user's sockets are closed, those of API keys too."""
        self._ends(sessions, now_ms)
        self._endings.user(user)

    def identify(self, access_token: str, now_ms: int) -> Identity:
        """Whose token it is.

        Raises:
          Unauthorized: nobody's, or it is too old, or its session is over.
        """
        identity = self._identity_in(access_token)
        if identity.expires_ms <= now_ms:
            raise Unauthorized("This access token has expired; refresh it")
        if identity.session in self._ended:
            raise Unauthorized("This session has ended; log in again")
        return identity

    def _ends(self, sessions: Iterable[str], now_ms: int) -> None:
        for old in [key for key, ended_ms in self._ended.items() if ended_ms <= now_ms - ACCESS_MS]:
            del self._ended[old]
        for session in sessions:
            self._ended[session] = now_ms
            self._endings.session(session)

    def _tokens(self, user: User, session: str, secret: str, now_ms: int) -> Tokens:
        claims: dict[str, Any] = {
            "sub": str(user.id),
            "sid": session,
            "wsp": user.workspace,
            "rol": user.role,
            "opr": user.operator,
            "iat": now_ms // 1000,
            "exp": (now_ms + ACCESS_MS) // 1000,
        }
        return Tokens(jwt.encode(claims, self._key, algorithm="HS256"), f"{session}.{secret}")


async def ensure_first_user(accounts: Accounts, settings: ApiSettings) -> str | None:
    """Give an empty database its first user: the settings' e-mail (or admin@localhost) and password.

    Returns the password if one had to be made up: this is the only time that anybody sees it.
    """
    email = settings.admin_email or DEFAULT_EMAIL
    if await accounts.has_users():
        is_asked_for = (settings.admin_email or settings.admin_password) is not None
        if is_asked_for and await accounts.user_by_email(email) is None:
            log.warning(
                "the database has users, so PEEKAPING_ADMIN_EMAIL and PEEKAPING_ADMIN_PASSWORD are not used, and nobody is "
                "%s; `peekaping user add %s` adds this user",
                email,
                email,
            )
        return None
    password = settings.admin_password or make_password()
    await accounts.add_user(email, "Administrator", await hash_password(password), utc_ms())
    return None if settings.admin_password else password


def _identity_in(key: bytes, access_token: str) -> Identity:
    """Whom a token is about, be it in force or not; raises Unauthorized where it was not signed with the key."""
    try:
        # Whether it has expired is for the server's injected clock to say, not for the process's as PyJWT would have it.
        claims = jwt.decode(
            access_token,
            key,
            algorithms=["HS256"],
            options={"require": ["exp", "sub", "sid", "wsp", "rol"], "verify_exp": False, "verify_iat": False},
        )
        return Identity(
            user=int(claims["sub"]),
            session=str(claims["sid"]),
            expires_ms=int(claims["exp"]) * 1000,
            workspace=int(claims["wsp"]),
            role=Role(claims["rol"]),
            operator=claims.get("opr", False),
        )
    except (jwt.InvalidTokenError, ValueError) as error:
        raise Unauthorized("This is not a valid access token") from error


def _hash(secret: str) -> bytes:
    """A random secret needs no slow hash: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).digest()
