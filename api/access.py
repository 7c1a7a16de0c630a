"""Puts together what knows people: logins, API keys, users, workspaces, the audit log, and the gate before every route."""

from __future__ import annotations

from collections.abc import Callable

from quart_trio import QuartTrio

from peekaping.api import audit, gate, keys, sessions, totp, users, workspaces
from peekaping.api.auditor import Auditor
from peekaping.api.auth import Sessions
from peekaping.api.credentials import Credentials
from peekaping.api.identity import Endings, Identity
from peekaping.api.keyring import Keyring, is_key
from peekaping.api.limits import LoginLimits
from peekaping.api.settings import ApiSettings
from peekaping.engine.engine import Engine
from peekaping.store.accounts import Accounts
from peekaping.store.audit import AuditLog
from peekaping.store.database import Database
from peekaping.store.keys import ApiKeys
from peekaping.store.totp import OneTimePasswords
from peekaping.store.workspaces import Workspaces


async def install(
    app: QuartTrio, engine: Engine, database: Database, settings: ApiSettings, utc_ms: Callable[[], int]
) -> tuple[gate.Identify, Endings]:
    """Put the gate before the app's routes, and add those about people.

    Returns: what knows whose a token is, and what knows when that ends: for sockets, which no gate is before.
    """
    accounts, audit_log, one_time = Accounts(database), AuditLog(database), OneTimePasswords(database)
    key_store, endings, auditor = ApiKeys(database), Endings(), Auditor(audit_log)
    logins = await Sessions.load(accounts, endings, utc_ms())
    keyring = Keyring(key_store, endings, await key_store.all(), await accounts.users())
    known = await accounts.known_addresses()
    limits = LoginLimits((email.casefold(), address) for email, address in known)
    credentials = Credentials(accounts, one_time, limits)

    async def identify(token: str, now_ms: int) -> Identity:
        if not is_key(token):
            return logins.identify(token, now_ms)
        keyring.identify(token, now_ms)
        await keyring.note_use(token, now_ms)
        return keyring.identify(token, now_ms)  # it may have been revoked meanwhile

    gate.install(app, identify, engine, auditor, settings, utc_ms)
    for routes in (
        sessions.routes(accounts, logins, credentials, auditor, utc_ms),
        totp.routes(accounts, one_time, credentials, utc_ms),
        users.routes(accounts, one_time, logins, keyring, utc_ms),
        keys.routes(accounts, keyring, utc_ms),
        workspaces.routes(Workspaces(database), utc_ms),
        audit.routes(audit_log),
    ):
        app.register_blueprint(routes, url_prefix=gate.PREFIX)
    return identify, endings
