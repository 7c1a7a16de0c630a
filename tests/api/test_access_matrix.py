"""Who may ask for what: every route there is, asked by everybody there is. Made from the app's own map of routes, so that a new
route is in it from the start, and fails here until it says whom it lets in and what its parameters stand for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from peekaping.api.auth import ACCESS_MS
from peekaping.api.describe import ADMIN, OPEN, OPERATOR, READ, SELF, WRITE, Needs, description_of
from peekaping.engine.records import iso
from peekaping.store.accounts import Role
from tests.api.support import Answer, Api, bearer, running, serving, until, websocket
from tests.api.test_live import Socket

LOOKS = ("GET", "HEAD")
PUBLIC = {
    "/health",
    "/api/v1/health",
    "/openapi.json",
    "/docs",
    "/",
    "/favicon.ico",
    "/api/v1/auth/login",
    "/api/v1/auth/refresh",
    "/api/v1/push/<push_id>",
    "/api/v1/status-pages/<slug>",  # to read
    "/status/<slug>",
}
"""What nobody has to log in for. A route that says it is open must be meant to be."""


BODIES = {"/api/v1/incidents/<id>/updates": {"message": "We are on it"}}
"""Of routes that say what is wrong with an empty body before they look for the thing."""


class Route(NamedTuple):
    method: str
    rule: str
    needs: Needs

    def __str__(self) -> str:
        return f"{self.method} {self.rule}"


class World:
    """An operator's workspace with one of everything, and everybody else."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.things: dict[str, str] = {}
        """What stands for the last parameter in the start of a rule; shorter starts first."""
        self.tokens: dict[str, str] = {}

    async def build(self) -> None:
        api = self.api
        made = (await api.call("POST", "/workspaces", {"name": "Elsewhere"})).json
        elsewhere = int(made["id"].partition("-")[2])
        for role in Role:
            self.tokens[role] = await api.user(f"{role}@example.com", role)
        self.tokens["stranger"] = await api.user("stranger@example.com", workspace=elsewhere)
        self.tokens["read key"] = (await api.key("read"))["key"]
        self.tokens["write key"] = (await api.key("write"))["key"]
        monitor = await self._make("/monitors", {"type": "push", "name": "job"})
        hook = {"url": "http://127.0.0.1:9/"}
        channel = await self._make("/notification-channels", {"name": "hook", "type": "webhook", "config": hook})
        incident = await self._make("/incidents", {"title": "Trouble", "monitors": [monitor]})
        await api.call("POST", "/status-pages", {"slug": "shop", "title": "Shop", "published": True})
        self.things = {
            "/api/v1/monitors/<id>": monitor,
            "/api/v1/notification-channels/<id>": channel,
            "/api/v1/notification-channels/<id>/deliveries/<delivery>": "delivery-1",
            "/api/v1/incidents/<id>": incident,
            "/api/v1/status-pages/<slug>": "shop",
            "/api/v1/users/<id>": "user-2",
            "/api/v1/api-keys/<id>": "key-1",
            "/api/v1/push/<push_id>": "x",
            "/status/<slug>": "shop",
        }

    async def _make(self, path: str, body: object) -> str:
        answer = await self.api.call("POST", path, body)
        assert answer.status == 201, answer
        return str(answer.json["id"])

    def routes(self) -> Iterator[Route]:
        for rule in self.api.app.url_map.iter_rules():
            if not rule.websocket:
                description = description_of(self.api.app.view_functions[rule.endpoint])
                assert description is not None, f"{rule.rule} does not say whom it lets in"
                for method in sorted((rule.methods or set()) - {"OPTIONS"}):
                    yield Route(method, rule.rule, description.needs)

    def path(self, rule: str) -> str:
        """The rule with the things that are there."""
        path = rule
        for start, thing in self.things.items():
            if rule.startswith(start):
                path = re.sub("<[a-z_]+>", thing, path, count=1)
        assert "<" not in path, f"{rule}: say in World.things what its parameters stand for"
        return path

    async def ask(self, route: Route, token: str | None) -> Answer:
        self.api.token = token
        answer = await self.api.call(route.method, self.path(route.rule), BODIES.get(route.rule, {}), prefix="")
        assert answer.status < 500, f"{route}: {answer}"
        return answer


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as api:
        world = World(api)
        await world.build()
        yield world


def lets_in(route: Route, who: str) -> bool:
    """The whole policy, written down a second time."""
    looks = route.method in LOOKS
    return {
        OPEN: True,
        READ: True,
        WRITE: who in (Role.EDITOR, Role.ADMIN, "stranger", "write key"),
        SELF: who not in ("read key", "write key"),
        ADMIN: who in (Role.ADMIN, "stranger") or (who in ("read key", "write key") and looks),
        OPERATOR: who in ("read key", "write key") and looks,
    }[route.needs]


async def test_only_what_is_meant_to_be_is_public(world: World) -> None:
    assert {route.rule for route in world.routes() if route.needs is OPEN} <= PUBLIC
    assert {route.rule for route in world.routes()} >= PUBLIC - {"/status/<slug>"}


async def test_a_route_that_says_nothing_is_for_operators_alone(world: World) -> None:
    async def forgotten() -> str:
        return "secret"

    app = world.api.app
    app._got_first_request = False  # else Quart takes no more routes
    app.add_url_rule("/forgotten", "forgotten", forgotten)
    client = app.test_client()
    statuses = [
        (await client.get("/forgotten", headers=bearer(token))).status_code
        for token in ("x", world.tokens[Role.ADMIN], world.api.token)
    ]
    assert statuses == [401, 403, 200]


async def test_nobody_gets_in_with_nothing_or_with_what_is_good_no_more(world: World) -> None:
    dead = await dead_tokens(world.api)
    wrong = [
        f"{who}: {route} answered {answer.status}"
        for route in world.routes()
        if route.needs is not OPEN
        for who, token in dead.items()
        if (answer := await world.ask(route, token)).status != 401
    ]
    assert wrong == []


async def test_no_socket_opens_with_what_is_good_no_more(world: World) -> None:
    async with serving(world.api) as port:
        for token in filter(None, (await dead_tokens(world.api)).values()):
            async with websocket(port, (b"X-API-Key", token.encode())) as connection:
                assert await Socket(connection).close_code() == 4401
            async with websocket(port) as connection:
                await Socket(connection).send({"type": "auth", "token": token})
                assert await Socket(connection).close_code() == 4401


async def dead_tokens(api: Api) -> dict[str, str | None]:
    """By what is wrong with them."""
    api.clock.ahead_ms = -2 * ACCESS_MS
    expired = (await api.login()).json["accessToken"]
    api.clock.ahead_ms = 0
    revoked = (await api.login()).json["accessToken"]
    assert (await api.call("POST", "/auth/logout", headers=bearer(revoked))).status == 204
    made = await api.key("write")
    assert (await api.call("DELETE", f"/api-keys/{made['id']}")).status == 204
    return {
        "nobody": None,
        "an expired token": expired,
        "a revoked token": revoked,
        "a revoked key": made["key"],
        "a made-up key": "peek_" + "x" * 43,
        "a made-up token": "x.y.z",
    }


@pytest.mark.parametrize("who", [*Role, "read key", "write key"])
async def test_everybody_gets_what_the_policy_gives_them(world: World, who: str) -> None:
    wrong = []
    for route in sorted(world.routes(), key=lambda route: route.method == "DELETE"):
        token = world.tokens[who]
        if route.needs is SELF and lets_in(route, who):  # it may end the login
            token = (await world.api.login(email=f"{who}@example.com")).json["accessToken"]
        answer = await world.ask(route, token)
        if (answer.status in (401, 403)) is lets_in(route, who):
            wrong.append(f"{route} answered {answer.status}")
    assert wrong == []


async def test_a_query_value_that_a_route_does_not_know_is_refused_not_passed_over(world: World) -> None:
    wrong = []
    for route in world.routes():
        if route.needs is not OPEN and route.method == "GET":
            path = f"{world.path(route.rule)}?colour=blue"
            answer = await world.api.call(route.method, path, prefix="")
            if answer.status != 422 or answer.json["error"]["details"]["colour"] != ["Unknown field"]:
                wrong.append(f"{route} answered {answer.status}: {answer.json}")
    assert wrong == []


async def test_another_workspaces_things_are_not_there_for_its_administrator(world: World) -> None:
    wrong = []
    for route in world.routes():
        if "<" in route.rule and route.needs is not OPEN:
            answer = await world.ask(route, world.tokens["stranger"])
            if answer.status != 404:
                wrong.append(f"{route} answered {answer.status}: {answer.json}")
    assert wrong == []


async def test_lists_show_nothing_of_another_workspace(world: World) -> None:
    mine = {*world.things.values(), "job", "hook", "Trouble", "viewer@example.com"} - {"x", "shop"}
    for route in world.routes():
        if route.method == "GET" and "<" not in route.rule and route.needs in (READ, ADMIN):
            seen = str((await world.ask(route, world.tokens["stranger"])).json)
            assert not [thing for thing in mine if f"'{thing}'" in seen], route
    world.api.token = world.tokens["stranger"]
    overview = (await world.api.call("GET", "/stats/overview")).json
    assert overview["totalMonitors"] == 0


async def test_a_status_page_or_channel_cannot_name_another_workspaces_monitor(world: World) -> None:
    api, monitor = world.api, world.things["/api/v1/monitors/<id>"]
    channel = world.things["/api/v1/notification-channels/<id>"]
    api.token = world.tokens["stranger"]
    page = {"slug": "theirs", "title": "Theirs", "monitors": [monitor]}
    assert (await api.call("POST", "/status-pages", page)).status == 422
    assert (await api.call("POST", "/incidents", {"title": "Theirs", "monitors": [monitor]})).status == 422
    for name in (channel, "hook"):
        new = {"type": "push", "name": "mine", "notifications": {"enabled": True, "channels": [name]}}
        assert (await api.call("POST", "/monitors", new)).status == 422


async def test_a_socket_tells_nothing_of_another_workspace(world: World) -> None:
    api, monitor = world.api, world.things["/api/v1/monitors/<id>"]
    push_id = (await api.call("GET", f"/monitors/{monitor}")).json["pushId"]
    async with serving(api) as port, websocket(port) as theirs, websocket(port) as mine:
        stranger, owner = Socket(theirs), Socket(mine)
        await owner.login(api)
        api.token = world.tokens["stranger"]
        await stranger.login(api)
        await stranger.send({"type": "subscribe", "monitors": [monitor]})
        assert (await stranger.receive())["error"]["code"] == "VALIDATION_ERROR"
        await api.call("POST", f"/push/{push_id}")
        assert (await owner.receive())["data"]["monitorId"] == monitor
        own = await api.push_monitor("their own")  # made after the subscription, and in it all the same
        await api.call("POST", f"/push/{own['pushId']}")
        assert (await stranger.receive())["data"]["monitorId"] == own["id"]


@pytest.mark.parametrize("end", ["expired", "revoked", "demoted", "deleted", "password"])
async def test_a_socket_ends_with_what_opened_it(world: World, end: str) -> None:
    api, operator = world.api, world.api.token
    viewer = world.tokens[Role.EDITOR]
    me = (await api.call("GET", "/auth/me", headers=bearer(viewer))).json["id"]
    soon = api.clock() + 300
    key = await api.key("read", token=viewer, **({"expiresAt": iso(soon)} if end == "expired" else {}))
    async with serving(api) as port, websocket(port, (b"X-API-Key", key["key"].encode())) as connection:
        socket = Socket(connection)
        assert await socket.receive() == {"type": "auth_ok"}
        match end:
            case "revoked":
                await api.call("DELETE", f"/api-keys/{key['id']}", headers=bearer(viewer))
            case "demoted":
                await api.call("PUT", f"/users/{me}", {"role": "viewer"}, headers=bearer(operator))
            case "deleted":
                await api.call("DELETE", f"/users/{me}", headers=bearer(operator))
            case "password":
                await api.call("PUT", f"/users/{me}", {"password": "another one"}, headers=bearer(operator))
        assert await socket.close_code() == 4401
    await until(lambda: not api.engine.statistics().subscribers)
