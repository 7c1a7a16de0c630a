"""/auth/totp: one's own one-time passwords (RFC 6238), switched on in two steps so that nobody locks themselves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypedDict

import pyotp
from msgspec import Meta, Struct
from quart import Blueprint, Response, g

from peekaping.api import gate
from peekaping.api.bodies import Proof, json_object, read
from peekaping.api.credentials import Credentials, hash_code, make_recovery_codes, step_of
from peekaping.api.describe import SELF, described
from peekaping.api.errors import ApiError
from peekaping.api.myself import myself
from peekaping.api.shapes import nothing, reply
from peekaping.store.accounts import Accounts, User
from peekaping.store.totp import OneTimePasswords


class Preparation(Struct):
    password: Proof


class Confirmation(Struct):
    code: Proof


class Disabling(Struct):
    password: Proof
    code: Proof
    """A one-time password, or a recovery code."""


class SeedShape(TypedDict):
    secret: Annotated[str, Meta(description="the seed, in base32, for an authenticator app")]
    uri: Annotated[str, Meta(description="the same as an otpauth address, for a QR code")]


class RecoveryShape(TypedDict):
    recoveryCodes: Annotated[list[str], Meta(description="each stands for one code, once; they are shown only now")]


def routes(
    accounts: Accounts, totp: OneTimePasswords, credentials: Credentials, utc_ms: Callable[[], int]
) -> Blueprint:
    blueprint = Blueprint("totp", __name__)

    @blueprint.post("/auth/totp")
    @described("Begin to use one-time passwords", needs=SELF, body=Preparation, answers={200: SeedShape}, errors=(409,))
    async def prepare() -> Response:
        """Gives a seed for an authenticator app. It is in force when a code made with it has been confirmed."""
        body, user = read(Preparation, await json_object(), "Invalid request"), await myself(accounts)
        if user.has_totp:
            raise ApiError(409, "One-time passwords are in use already; disable them first to get another seed")
        await prove(user, body.password, None)
        seed = pyotp.random_base32()
        await totp.prepare(user.id, seed)
        uri = pyotp.TOTP(seed).provisioning_uri(name=user.email, issuer_name="Peekaping")
        return reply({"secret": seed, "uri": uri})

    @blueprint.post("/auth/totp/confirm")
    @described(
        "Switch on one-time passwords", needs=SELF, body=Confirmation, answers={200: RecoveryShape}, errors=(409,)
    )
    async def confirm() -> Response:
        body, user = read(Confirmation, await json_object(), "Invalid code"), await myself(accounts)
        seed = None if user.has_totp else await totp.seed(user.id)
        if seed is None:
            raise ApiError(409, "There is no new seed to confirm; get one with POST /auth/totp")
        step = step_of(seed, body.code, utc_ms())
        if step is None:
            raise ApiError(422, "Invalid code", details={"code": ["Code is not right, or the clocks differ"]})
        codes = make_recovery_codes()
        await totp.switch_on(user.id, step, map(hash_code, codes))
        return reply({"recoveryCodes": codes})

    @blueprint.post("/auth/totp/disable")
    @described("Switch off one-time passwords", needs=SELF, body=Disabling, answers={204: None}, errors=(409,))
    async def disable() -> Response:
        body, user = read(Disabling, await json_object(), "Invalid request"), await myself(accounts)
        if not user.has_totp:
            raise ApiError(409, "One-time passwords are not in use")
        await prove(user, body.password, body.code)
        await totp.switch_off(user.id)
        return nothing()

    async def prove(user: User, password: str, code: str | None) -> None:
        address = gate.network_of(g.address)
        proof = await credentials.check(user.email, password, code, address, utc_ms(), needs_code=code is not None)
        if not proof.passed:
            raise ApiError(422, "Invalid request", details={"password": ["The password or the code is wrong"]})

    return blueprint
