"""/auth: log in, refresh, log out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from msgspec import Struct
from quart import Blueprint, Response, g

from peekaping.api import gate
from peekaping.api.auditor import Auditor
from peekaping.api.auth import Sessions, Tokens
from peekaping.api.bodies import Proof, json_object, read
from peekaping.api.credentials import Credentials
from peekaping.api.describe import OPEN, SELF, described
from peekaping.api.errors import ApiError, Unauthorized
from peekaping.api.myself import myself
from peekaping.api.passwords import NewPassword, hash_password
from peekaping.api.shapes import UserShape, nothing, reply, user_shape
from peekaping.store.accounts import Accounts, User


class Login(Struct, rename="camel"):
    email: Proof
    password: Proof
    code: Proof | None = None
    """A one-time password, or a recovery code."""


class Refresh(Struct, rename="camel"):
    refresh_token: Proof


class Logout(Struct):
    all: bool = False


class PasswordChange(Struct, rename="camel"):
    current_password: Proof
    new_password: NewPassword


class TokensShape(TypedDict):
    accessToken: str
    refreshToken: str
    user: UserShape


def routes(
    accounts: Accounts, sessions: Sessions, credentials: Credentials, auditor: Auditor, utc_ms: Callable[[], int]
) -> Blueprint:
    blueprint = Blueprint("sessions", __name__)

    @blueprint.post("/auth/login")
    @described("Log in", needs=OPEN, body=Login, answers={200: TokensShape}, errors=(401,))
    async def login() -> Response:
        """Whoever has switched on one-time passwords sends one as `code`, or a recovery code; without it the answer is a 401 with
        the code `TOTP_REQUIRED`."""
        body = read(Login, await json_object(), "Invalid login")
        now_ms, address = utc_ms(), gate.network_of(g.address)
        user, passed = await credentials.check(body.email, body.password, body.code, address, now_ms)
        await auditor.login(user, g.address, 200 if passed else 401, now_ms)
        if user is None or not passed:
            wrong = "The e-mail, the password or the code is wrong"
            raise Unauthorized(wrong if body.code is not None else "The e-mail or the password is wrong")
        return reply(_tokens_shape(await sessions.open(user, address, now_ms), user))

    @blueprint.post("/auth/refresh")
    @described("Renew the tokens", needs=OPEN, body=Refresh, answers={200: TokensShape}, errors=(401,))
    async def refresh() -> Response:
        body = read(Refresh, await json_object(), "Invalid refresh")
        return reply(_tokens_shape(*await sessions.renew(body.refresh_token, utc_ms())))

    @blueprint.post("/auth/logout")
    @described("Log out", needs=SELF, body=Logout, answers={204: None})
    async def logout() -> Response:
        body = read(Logout, await json_object(), "Invalid logout")
        end = sessions.end_all if body.all else sessions.end
        await end(gate.identity(), utc_ms())
        return nothing()

    @blueprint.post("/auth/password")
    @described("Change my password", needs=SELF, body=PasswordChange, answers={204: None})
    async def change_password() -> Response:
        """Ends all of the user's sessions, this one too. API keys stay."""
        body, user = read(PasswordChange, await json_object(), "Invalid password"), await myself(accounts)
        address, password = gate.network_of(g.address), body.current_password
        proof = await credentials.check(user.email, password, None, address, utc_ms(), needs_code=False)
        if not proof.passed:
            raise ApiError(422, "Invalid password", details={"currentPassword": ["CurrentPassword is wrong"]})
        password_hash, now_ms = await hash_password(body.new_password), utc_ms()
        _, ended = await accounts.change_user(user.id, now_ms, password_hash=password_hash)
        sessions.ended(user.id, ended or (), now_ms)
        return nothing()

    return blueprint


def _tokens_shape(tokens: Tokens, user: User) -> TokensShape:
    return {"accessToken": tokens.access, "refreshToken": tokens.refresh, "user": user_shape(user)}
