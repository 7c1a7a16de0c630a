"""Proof of who somebody is: the password and, for those who have switched it on, a one-time password. Guessing is slowed down."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

import pyotp

from peekaping.api.errors import ApiError, too_many
from peekaping.api.limits import Attempt, LoginLimits
from peekaping.api.passwords import Passwords
from peekaping.store.accounts import Accounts, User
from peekaping.store.totp import OneTimePasswords

STEP_MS = 30_000
"""How long a code lasts. Those before and after are taken too: clocks differ, and people type slowly (RFC 6238, 5.2)."""
RECOVERY_CODES = 10


class Proof(NamedTuple):
    """What came of a try."""

    user: User | None
    """Whose e-mail it is, be the rest right or wrong."""
    passed: bool


class Credentials:
    """Checks them against the accounts."""

    def __init__(self, accounts: Accounts, totp: OneTimePasswords, limits: LoginLimits) -> None:
        self._accounts = accounts
        self._totp = totp
        self._limits = limits
        self._passwords = Passwords()

    async def check(
        self, email: str, password: str, code: str | None, address: str, now_ms: int, *, needs_code: bool = True
    ) -> Proof:
        """Check what somebody at this address shows.

        Args:
          code: the one-time password, or a recovery code; each is good for one try.
          needs_code: False where the login has asked for it already.

        Raises:
          ApiError: 429, too many tries; 401 with the code TOTP_REQUIRED, all is well but the one-time password is missing.
        """
        attempt = self._limits.attempt(email.strip().casefold(), address, now_ms)
        if attempt.refused_until_ms is not None:
            raise too_many("Too many failed logins", attempt.refused_until_ms - now_ms)
        try:
            proof = await self._look(email.strip(), password, code, attempt, now_ms, needs_code=needs_code)
        except Exception:  # too many at once, a database that cannot, a code that is still to come: no wrong password
            self._limits.give_back(attempt)
            raise
        if proof.passed:
            self._limits.succeeded(attempt)
        return proof

    async def _look(
        self, email: str, password: str, code: str | None, attempt: Attempt, now_ms: int, *, needs_code: bool
    ) -> Proof:
        user = await self._accounts.user_by_email(email)
        password_hash = None if user is None else user.password_hash
        matches = await self._passwords.check(password, password_hash, known=attempt.known)
        if user is None or not matches:
            return Proof(user, False)
        if user.has_totp and needs_code:
            if code is None:
                message = "The one-time password of your authenticator app is needed too, as code"
                raise ApiError(401, message, code="TOTP_REQUIRED")
            return Proof(user, await self.takes_code(user, code, now_ms))
        return Proof(user, True)

    async def takes_code(self, user: User, code: str, now_ms: int) -> bool:
        """Whether a code is right and unused; it is used up by this."""
        seed = await self._totp.seed(user.id)
        step = None if seed is None else step_of(seed, code, now_ms)
        if step is not None:
            return await self._totp.take_step(user.id, step)
        return await self._totp.take_recovery_code(user.id, hash_code(code))


def step_of(seed: str, code: str, now_ms: int) -> int | None:
    """The time step that a code belongs to, if it is right at present."""
    totp, now = pyotp.TOTP(seed), now_ms // STEP_MS
    shown = _plain(code).encode()
    matching = [
        step for step in (now - 1, now, now + 1) if hmac.compare_digest(totp.generate_otp(step).encode(), shown)
    ]
    return matching[-1] if matching else None


def make_recovery_codes() -> list[str]:
    """80 random bits each, for a person to write down."""
    return [f"{secrets.token_hex(5)}-{secrets.token_hex(5)}" for _ in range(RECOVERY_CODES)]


def hash_code(code: str) -> bytes:
    """Of a recovery code. 80 random bits need no slow hash."""
    return hashlib.sha256(_plain(code).encode()).digest()


def _plain(code: str) -> str:
    """As it is meant, with whatever a person puts between the digits."""
    return re.sub(r"[\s-]", "", code).lower()
