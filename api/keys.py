"""/api-keys: one's own, made, listed and revoked with a login; a key must not make others that outlive it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypedDict

from msgspec import Meta, Struct
from quart import Blueprint, Response

from peekaping.api import gate
from peekaping.api.bodies import Instant, Name, json_object, read
from peekaping.api.describe import SELF, described
from peekaping.api.errors import ApiError
from peekaping.api.keyring import Keyring
from peekaping.api.myself import myself
from peekaping.api.shapes import Time, nothing, reply
from peekaping.engine.records import iso
from peekaping.store.accounts import Accounts
from peekaping.store.keys import ApiKey

Scope = Literal["read", "write"]


class NewKey(Struct, rename="camel"):
    name: Name
    scopes: Annotated[
        list[Scope], Meta(min_length=1, max_length=2, description='a list of "read" and "write", not empty')
    ]
    expires_at: Instant | None = None


class KeyShape(TypedDict):
    id: str
    name: str
    prefix: Annotated[str, Meta(description="how the key starts")]
    scopes: tuple[str, ...]
    createdAt: Time
    expiresAt: Time | None
    lastUsedAt: Time | None


class NewKeyShape(KeyShape):
    key: Annotated[str, Meta(description="the key itself; it is shown only now")]


class KeysShape(TypedDict):
    apiKeys: list[KeyShape]


def routes(accounts: Accounts, keyring: Keyring, utc_ms: Callable[[], int]) -> Blueprint:
    blueprint = Blueprint("keys", __name__)

    @blueprint.get("/api-keys")
    @described("List my API keys", needs=SELF, answers={200: KeysShape})
    async def show_all() -> Response:
        return reply({"apiKeys": [_shape(key) for key in keyring.of_user(gate.identity().user)]})

    @blueprint.post("/api-keys")
    @described("Make an API key", needs=SELF, body=NewKey, answers={201: NewKeyShape}, errors=(409,))
    async def create() -> Response:
        """It may do what its user may, as far as its scopes go; `write` includes `read`."""
        body, now_ms = read(NewKey, await json_object(), "Invalid API key"), utc_ms()
        if body.expires_at is not None and body.expires_at <= now_ms:
            raise ApiError(422, "Invalid API key", details={"expiresAt": ["ExpiresAt must be in the future"]})
        user = await myself(accounts)
        scopes = sorted(set(body.scopes))
        shown, key = await keyring.make(user, body.name, scopes, now_ms=now_ms, expires_ms=body.expires_at)
        answer: NewKeyShape = {**_shape(key), "key": shown}
        return reply(answer, 201)

    @blueprint.delete("/api-keys/<id>")
    @described("Revoke an API key", needs=SELF, answers={204: None})
    async def delete(id: str) -> Response:
        """It ends at once, and so do the sockets that were opened with it."""
        for key in keyring.of_user(gate.identity().user):
            if f"key-{key.id}" == id:
                await keyring.revoke(key)
                return nothing()
        raise ApiError(404, f"You have no API key {id[:40]}")

    return blueprint


def _shape(key: ApiKey) -> KeyShape:
    return {
        "id": f"key-{key.id}",
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "createdAt": iso(key.created_ms),
        "expiresAt": None if key.expires_ms is None else iso(key.expires_ms),
        "lastUsedAt": None if key.used_ms is None else iso(key.used_ms),
    }
