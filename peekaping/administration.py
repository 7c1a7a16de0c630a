"""The calls of the SDK for those who administer: users, API keys, workspaces. As in `resources.py`, each is here once."""

from __future__ import annotations

from peekaping.calls import Call, JsonObject, JsonObjects, Request
from peekaping.methods import Calls, Fields, Way, call, listed, nothing, one, path


class Users(Calls[Way]):
    """`client.users`, for administrators: who may log in, and what as."""

    @call
    def list(self) -> Call[JsonObjects]:
        """The users of the workspace; for operators those of all."""
        return listed("/users", "users")

    @call
    def create(self, user: Fields) -> Call[JsonObject]:
        """Add a user from the API's fields (`email`, `name`, `password`, `role`, ...)."""
        return one("POST", "/users", user)

    @call
    def get(self, id: str) -> Call[JsonObject]:
        """One user."""
        return one("GET", path("users", id))

    @call
    def update(self, id: str, changes: Fields) -> Call[JsonObject]:
        """Change the given fields; another role or password ends the user's logins."""
        return one("PATCH", path("users", id), changes)

    @call
    def delete(self, id: str) -> Call[None]:
        """Delete the user and the user's API keys."""
        return nothing("DELETE", path("users", id))

    @call
    def switch_off_totp(self, id: str) -> Call[None]:
        """Let somebody who lost the authenticator app log in by password alone."""
        return nothing("DELETE", path("users", id, "totp"))


class ApiKeys(Calls[Way]):
    """`client.api_keys`: one's own. They need a client that logged in with a password."""

    @call
    def list(self) -> Call[JsonObjects]:
        """One's keys with when each was last used, without what they are."""
        answer = yield Request("GET", "/api-keys")
        found: JsonObjects = answer["apiKeys"]
        return found

    @call
    def create(self, api_key: Fields) -> Call[JsonObject]:
        """Make a key from the API's fields (`name`, `scopes`, `expiresAt`); it is shown in `key`, only now."""
        return one("POST", "/api-keys", api_key)

    @call
    def delete(self, id: str) -> Call[None]:
        """Revoke a key at once."""
        return nothing("DELETE", path("api-keys", id))


class Workspaces(Calls[Way]):
    """`client.workspaces`, for operators."""

    @call
    def list(self) -> Call[JsonObjects]:
        """All workspaces of the deployment."""
        return listed("/workspaces", "workspaces")

    @call
    def create(self, workspace: Fields) -> Call[JsonObject]:
        """Make a workspace from its `name`; its users are made with `users.create` and its id as `workspaceId`."""
        return one("POST", "/workspaces", workspace)
