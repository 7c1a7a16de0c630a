"""/users: who may log in, and what as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypedDict

from msgspec import Meta, Struct
from quart import Blueprint, Response

from peekaping.api import gate
from peekaping.api.auth import Sessions
from peekaping.api.bodies import Name, json_object, query, read
from peekaping.api.describe import ADMIN, READ, described
from peekaping.api.errors import ApiError
from peekaping.api.identity import Identity
from peekaping.api.keyring import Keyring
from peekaping.api.listing import Listing
from peekaping.api.myself import myself
from peekaping.api.passwords import NewPassword, hash_password
from peekaping.api.shapes import PaginationShape, Time, nothing, reply
from peekaping.engine.records import iso, number_in
from peekaping.store.accounts import Accounts, Role, User
from peekaping.store.errors import EmailTaken, NoSuchWorkspace
from peekaping.store.totp import OneTimePasswords

Email = Annotated[
    str,
    Meta(pattern=r"^[^@\s]+@[^@\s]+$(?!\s)", max_length=254, description="an e-mail address such as me@example.com"),
]
SHOWN_ONLY = ("id", "workspaceId", "totp", "createdAt")
"""Left out of changes."""


class NewUser(Struct, rename="camel"):
    email: Email
    name: Name
    password: NewPassword
    role: Role = Role.VIEWER
    workspace_id: str | None = None
    """Only operators; by default one's own."""
    operator: bool = False


class UserChanges(Struct, rename="camel"):
    email: Email | None = None
    name: Name | None = None
    password: NewPassword | None = None
    role: Role | None = None
    operator: bool | None = None


class AccountShape(TypedDict):
    id: str
    email: str
    name: str
    role: Role
    workspaceId: str
    operator: bool
    totp: Annotated[bool, Meta(description="whether a login needs a one-time password")]
    createdAt: Time


class UsersShape(TypedDict):
    users: list[AccountShape]
    pagination: PaginationShape


def routes(
    accounts: Accounts, totp: OneTimePasswords, sessions: Sessions, keyring: Keyring, utc_ms: Callable[[], int]
) -> Blueprint:
    blueprint = Blueprint("users", __name__)

    @blueprint.get("/auth/me")
    @described("Show who I am", needs=READ, answers={200: AccountShape})
    async def show_me() -> Response:
        return reply(account_shape(await myself(accounts)))

    @blueprint.get("/users")
    @described("List the users", needs=ADMIN, query=Listing, answers={200: UsersShape})
    async def show_all() -> Response:
        """Of the workspace; operators see those of all."""
        asked, me = query(Listing), gate.identity()
        users = await accounts.users(None if me.operator else me.workspace)
        shown = [account_shape(user) for user in users[asked.first : asked.first + asked.limit]]
        return reply({"users": shown, "pagination": asked.pages(len(users))})

    @blueprint.post("/users")
    @described("Add a user", needs=ADMIN, body=NewUser, answers={201: AccountShape}, errors=(409,))
    async def create() -> Response:
        body, me = read(NewUser, await json_object(), "Invalid user"), gate.identity()
        workspace = me.workspace if body.workspace_id is None else _number(body.workspace_id, "workspace")
        if not me.operator and (body.operator or workspace != me.workspace):
            raise ApiError(403, "Only operators add operators, and users to other workspaces")
        try:
            user = await accounts.add_user(
                body.email,
                body.name,
                await hash_password(body.password),
                utc_ms(),
                workspace=workspace,
                role=body.role,
                operator=body.operator,
            )
        except EmailTaken as error:
            raise _taken() from error
        except NoSuchWorkspace as error:
            details = {"workspaceId": [f"There is no workspace {str(body.workspace_id)[:40]}"]}
            raise ApiError(422, "Invalid user", details=details) from error
        return reply(account_shape(user), 201)

    @blueprint.get("/users/<id>")
    @described("Show a user", needs=ADMIN, answers={200: AccountShape})
    async def show(id: str) -> Response:
        return reply(account_shape(await find(id)))

    @blueprint.route("/users/<id>", methods=["PUT", "PATCH"])
    @described("Change a user", needs=ADMIN, body=UserChanges, answers={200: AccountShape}, errors=(409,))
    async def change(id: str) -> Response:
        """Whoever gets another password or other rights has to log in again."""
        body, me = read(UserChanges, await json_object(without=SHOWN_ONLY), "Invalid user"), gate.identity()
        user = await find_changeable(id)
        if not me.operator and body.operator not in (None, user.operator):
            raise ApiError(403, "Only operators make operators")
        if user.id == me.user:
            _refuse_of_oneself(body, user)
        password_hash = None if body.password is None else await hash_password(body.password)
        now_ms = utc_ms()
        try:
            changed, ended = await accounts.change_user(
                user.id,
                now_ms,
                email=body.email,
                name=body.name,
                password_hash=password_hash,
                role=body.role,
                operator=body.operator,
            )
        except EmailTaken as error:
            raise _taken() from error
        keyring.changed(changed)
        if ended is not None:
            sessions.ended(user.id, ended, now_ms)
        return reply(account_shape(changed))

    @blueprint.delete("/users/<id>")
    @described("Delete a user", needs=ADMIN, answers={204: None}, errors=(409,))
    async def delete(id: str) -> Response:
        """The user's API keys go too. What belongs to the workspace stays."""
        user = await find_changeable(id)
        if user.id == gate.identity().user:
            raise ApiError(409, "You cannot delete yourself; ask another administrator")
        now_ms = utc_ms()
        ended = await accounts.remove_user(user.id, now_ms)
        keyring.removed(user.id)
        sessions.ended(user.id, ended, now_ms)
        return nothing()

    @blueprint.delete("/users/<id>/totp")
    @described("Switch off a user's one-time passwords", needs=ADMIN, answers={204: None})
    async def delete_totp(id: str) -> Response:
        """For somebody who has lost the authenticator app and the recovery codes."""
        user = await find_changeable(id)
        if user.id == gate.identity().user:
            raise ApiError(409, "Switch off your own with POST /auth/totp/disable, which asks for the password")
        await totp.switch_off(user.id)
        return nothing()

    async def find(id: str) -> User:
        user, me = await accounts.user(_number(id, "user")), gate.identity()
        if user is None or not _sees(me, user):
            raise ApiError(404, f"There is no user {id[:40]}")
        return user

    async def find_changeable(id: str) -> User:
        user = await find(id)
        if user.operator and not gate.identity().operator:
            raise ApiError(403, "Only operators change operators")
        return user

    return blueprint


def account_shape(user: User) -> AccountShape:
    return {
        "id": f"user-{user.id}",
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "workspaceId": f"workspace-{user.workspace}",
        "operator": user.operator,
        "totp": user.has_totp,
        "createdAt": iso(user.created_ms),
    }


def _sees(me: Identity, user: User) -> bool:
    return me.operator or user.workspace == me.workspace


def _refuse_of_oneself(body: UserChanges, user: User) -> None:
    """What would let an API key or an open browser take an account over, or leave a workspace without an administrator."""
    if body.password is not None:
        raise ApiError(409, "Change your own password with POST /auth/password, which asks for the present one")
    if body.role not in (None, user.role) or body.operator not in (None, user.operator):
        raise ApiError(409, "You cannot change your own rights; ask another administrator")


def _taken() -> ApiError:
    return ApiError(409, "Another user has this e-mail address", details={"email": ["Email is taken"]})


def _number(id: str, kind: str) -> int:
    """The number in `user-7`; one that nobody has where it is no such id."""
    return number_in(id, kind) or 0
