"""Writes the audit log: the gate's entries, and those of logins.

An entry is written before the change and finished after it, so that nobody keeps out of the log by hanging up in between; and a
change that cannot be noted is not made.
"""

from __future__ import annotations

import logging

import msgspec
from quart import Response

from peekaping.api.identity import Identity
from peekaping.engine.ports import StoreFailed
from peekaping.store.accounts import User
from peekaping.store.audit import AuditLog

log = logging.getLogger(__name__)


class Auditor:
    """Writes the entries."""

    def __init__(self, audit_log: AuditLog) -> None:
        self._log = audit_log

    async def begin(self, identity: Identity, address: str, action: str, target: str, now_ms: int) -> int:
        """Note that somebody asks for a change. Raises StoreFailed."""
        return await self._log.add(
            workspace=identity.workspace,
            user=identity.user,
            api_key=identity.api_key,
            address=address,
            action=action,
            target=target,
            now_ms=now_ms,
        )

    async def finish(self, entry: int, response: Response) -> None:
        """Note what came of it; the change is made and stays so, whatever becomes of this."""
        made = _id_of(await response.get_data(as_text=False)) if response.status_code == 201 else None
        try:
            await self._log.finish(entry, response.status_code, made)
        except StoreFailed as error:
            log.error("what came of audit entry %d could not be noted: %s", entry, error)

    async def login(self, user: User | None, address: str, status: int, now_ms: int) -> None:
        """Note that somebody logged in, or tried to with a wrong password.

        Logins to no account (None) are not noted: what was given for an e-mail may be a password in the wrong field. They make a
        transaction all the same, so that the time of an answer does not tell whether there is an account.
        """
        if user is None:
            await self._log.forget(now_ms)
            return
        await self._log.add(
            workspace=user.workspace,
            user=user.id,
            api_key=None,
            address=address,
            action="POST /auth/login",
            target="/auth/login",
            now_ms=now_ms,
            status=status,
        )


def _id_of(body: bytes) -> str | None:
    """The id, or slug, that an answer gives to what was made; nothing else of it is looked at."""
    try:
        made = msgspec.json.decode(body, type=_Made)
    except msgspec.DecodeError:
        return None
    return made.id or made.slug


class _Made(msgspec.Struct):
    id: str | None = None
    slug: str | None = None
