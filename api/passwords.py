"""Passwords: argon2id, hashed and checked in worker threads, since one takes as long as a hundred requests."""

from __future__ import annotations

import math
import secrets
from typing import Annotated

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Meta

from peekaping.api.errors import too_many

# OWASP's password storage cheat sheet: argon2id with 19 MiB, two passes, one lane. The library's own default (64 MiB, four lanes)
# takes six times as long, and a small server's memory when several people log in.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODY = _hasher.hash(secrets.token_urlsafe())
"""Checked where there is no such user, so that an answer takes the same time whether the e-mail is known or not."""

NewPassword = Annotated[str, Meta(min_length=8, max_length=1000, description="a text of 8 to 1000 characters")]
"""Length is what counts (NIST SP 800-63B, 5.1.1.2): no rules about digits and signs."""
MOST_WAITING = 20
"""In one lane: about two seconds' worth. Beyond it a login is sent away at once."""


class Passwords:
    """Two lanes, one thread each: addresses that logged in before do not queue behind those that guess."""

    def __init__(self) -> None:
        self._lanes = {known: trio.CapacityLimiter(1) for known in (True, False)}

    async def check(self, password: str, password_hash: str | None, *, known: bool) -> bool:
        """Whether it is the password. `password_hash` None: there is no such user; the answer takes as long, and means nothing.

        Raises:
          ApiError: 429, when too many logins are waiting already.
        """
        lane = self._lanes[known]
        if lane.statistics().tasks_waiting >= MOST_WAITING:
            raise too_many("Too many logins at once", 2000)
        return await trio.to_thread.run_sync(_matches, password, password_hash or _NOBODY, limiter=lane)


async def hash_password(password: str) -> str:
    return await trio.to_thread.run_sync(_hasher.hash, password)


def make_password() -> str:
    """One for a person to copy: 96 random bits."""
    return secrets.token_urlsafe(math.ceil(96 / 8))


def _matches(password: str, password_hash: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
