"""/auth: log in, refresh, log out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct
from quart import Blueprint, Response, g

from peekaping.api import gate
from peekaping.api.auth import Sessions, Tokens
from peekaping.api.bodies import json_object, read
from peekaping.api.errors import Unauthorized, too_many
from peekaping.api.limits import LoginLimits
from peekaping.api.passwords import Passwords
from peekaping.api.shapes import nothing, reply, user_shape
from peekaping.store.accounts import Accounts, User

Text = Annotated[str, Meta(min_length=1, max_length=1000)]


class Login(Struct, rename="camel"):
    email: Text
    password: Text


class Refresh(Struct, rename="camel"):
    refresh_token: Text


class Logout(Struct):
    all: bool = False


def routes(accounts: Accounts, sessions: Sessions, limits: LoginLimits, utc_ms: Callable[[], int]) -> Blueprint:
    blueprint = Blueprint("sessions", __name__)
    passwords = Passwords()

    @blueprint.post("/auth/login")
    async def login() -> Response:
        body = read(Login, await json_object(), "Invalid login")
        now_ms = utc_ms()
        address = gate.network_of(g.address)
        attempt = limits.attempt(body.email.strip().casefold(), address, now_ms)
        if attempt.refused_until_ms is not None:
            raise too_many("Too many failed logins", attempt.refused_until_ms - now_ms)
        user = await accounts.user_by_email(body.email.strip())
        password_hash = None if user is None else user.password_hash
        matches = await passwords.check(body.password, password_hash, known=attempt.known)
        if user is None or not matches:
            raise Unauthorized("The e-mail or the password is wrong")
        limits.succeeded(attempt)
        return reply(_tokens_shape(await sessions.open(user, address, now_ms), user))

    @blueprint.post("/auth/refresh")
    async def refresh() -> Response:
        body = read(Refresh, await json_object(), "Invalid refresh")
        return reply(_tokens_shape(*await sessions.renew(body.refresh_token, utc_ms())))

    @blueprint.post("/auth/logout")
    async def logout() -> Response:
        body = read(Logout, await json_object(), "Invalid logout")
        end = sessions.end_all if body.all else sessions.end
        await end(gate.identity(), utc_ms())
        return nothing()

    return blueprint


def _tokens_shape(tokens: Tokens, user: User) -> dict[str, Any]:
    return {"accessToken": tokens.access, "refreshToken": tokens.refresh, "user": user_shape(user)}
