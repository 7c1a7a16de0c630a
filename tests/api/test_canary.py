"""Secrets are planted in every place that takes one; then everything that leaves the process is searched for them: the answers of
every route, the events, the log, the database's files, the page of the public."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
import trio

from peekaping.api.describe import description_of
from tests.api.support import Api, bearer, running, serving, websocket
from tests.api.test_live import Socket

NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there, so that errors are said of what is sent."""
CHANNELS: dict[str, dict[str, Any]] = {
    "webhook": {"url": NOWHERE, "secret": ...},
    "email": {"host": "127.0.0.1", "port": 9, "username": "u", "password": ..., "from": "a@b.example", "to": ["c@d.example"],
              "encryption": "NONE"},
    "slack": {"url": ...},
    "discord": {"url": ...},
    "mattermost": {"url": ...},
    "apprise": {"url": ...},
    "telegram": {"url": NOWHERE, "botToken": ..., "chatId": "1"},
    "gotify": {"url": NOWHERE, "token": ...},
    "ntfy": {"url": NOWHERE, "topic": "t", "token": ...},
}  # fmt: skip
"""Their fields; `...` stands for a secret."""


class Canaries:
    """Makes secrets that can be told apart, and finds them again."""

    def __init__(self) -> None:
        self._numbers = itertools.count(4711)
        self.planted: dict[str, str] = {}

    def new(self, where: str) -> str:
        text = f"canary{next(self._numbers)}"
        self.planted[text] = where
        return text

    def plant(self, text: str, where: str) -> str:
        """A secret that the server made."""
        self.planted[text] = where
        return text

    def found_in(self, text: str | bytes) -> set[str]:
        data = text.encode() if isinstance(text, str) else text
        return {where for canary, where in self.planted.items() if canary.encode() in data}


def configurations(canaries: Canaries) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, fields in CHANNELS.items():
        secret = canaries.new(f"{kind}'s secret")
        full = f"json://{secret}@127.0.0.1:9/" if kind == "apprise" else f"{NOWHERE}/{secret}"
        yield (
            kind,
            {name: (full if name == "url" else secret) if value is ... else value for name, value in fields.items()},
        )


async def plant(api: Api, canaries: Canaries) -> list[tuple[str, Any]]:
    """Plant what a client gives and what it is given; gives back what was sent, to be sent again with mistakes."""
    sent: list[tuple[str, Any]] = []

    async def make(path: str, body: Any, status: int = 201) -> Any:
        sent.append((path, body))
        answer = await api.call("POST", path, body)
        assert answer.status == status, (path, answer)
        return answer.json

    channels = []
    for kind, config in configurations(canaries):
        body = {"name": kind, "type": kind, "config": config}
        channels.append((await make("/notification-channels", body))["id"])
    headers = {"Authorization": canaries.new("a header"), "X-Own": canaries.new("a header named secret")}
    http = {
        "type": "http",
        "url": NOWHERE,
        "interval": 60_000,
        "notifications": {"enabled": True, "channels": channels},
    }
    await make("/monitors", {**http, "name": "headers", "headers": headers, "secretHeaders": ["X-Own"]})
    basic = {"authMethod": "basic", "basicAuthUser": "u", "basicAuthPass": canaries.new("a password")}
    await make("/monitors", {**http, "name": "basic", **basic})
    await make("/monitors", {**http, "name": "bearer", "authMethod": "bearer", "bearerToken": canaries.new("a token")})
    user = {"email": "ada@example.com", "name": "Ada", "role": "admin", "password": canaries.new("a user's password")}
    await make("/users", user)
    tokens = (await api.login(user["password"], email=user["email"])).json
    canaries.plant(tokens["refreshToken"].partition(".")[2], "a refresh token")
    api.token = canaries.plant(tokens["accessToken"], "an access token")
    canaries.plant((await api.key("write"))["key"], "an API key")
    seed = (await make("/auth/totp", {"password": user["password"]}, 200))["secret"]
    canaries.plant(seed, "the seed of one-time passwords")
    code = {"code": pyotp.TOTP(seed).at(api.clock() / 1000)}
    for recovery in (await make("/auth/totp/confirm", code, 200))["recoveryCodes"]:
        canaries.plant(recovery, "a recovery code")
    await make("/status-pages", {"slug": "shop", "title": "Shop", "published": True, "monitors": ["monitor-1"]})
    return sent


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def answers(api: Api, sent: list[tuple[str, Any]]) -> list[str]:
    """Everything the routes have to say, to what is right and to what is wrong."""
    found: list[str] = []

    async def ask(method: str, path: str, body: Any = None) -> None:
        answer = await api.call(method, path, body, prefix="")
        assert answer.status < 500, (method, path, answer)
        found.append(f"{method} {path} {answer}")

    for rule in api.app.url_map.iter_rules():
        assert description_of(api.app.view_functions[rule.endpoint]) is not None
        if "GET" in (rule.methods or ()) and not rule.websocket and "<push_id>" not in rule.rule:
            kind = rule.rule.removeprefix("/api/v1/").partition("/")[0]
            thing = {"monitors": "monitor-{}", "notification-channels": "channel-{}", "users": "user-{}"}.get(
                kind, "shop"
            )
            for number in range(1, len(CHANNELS) + 1):
                await ask("GET", rule.rule.replace("<id>", thing.format(number)).replace("<slug>", "shop"))
    for path, body in sent:
        await ask("POST", f"/api/v1{path}", {**body, "type": "no such type", "colour": 1})
        await ask("POST", f"/api/v1{path}", {**body, "name": 5, "email": 5, "slug": 5})
    for number in range(1, len(CHANNELS) + 1):
        await ask("POST", f"/api/v1/notification-channels/channel-{number}/test")
        await ask("PUT", f"/api/v1/notification-channels/channel-{number}", {"name": f"hook {number}"})
        await ask("GET", f"/api/v1/notification-channels/channel-{number}/deliveries")
    for number in (1, 2, 3):
        await ask("PUT", f"/api/v1/monitors/monitor-{number}", {"name": f"shop {number}"})
        await ask("POST", f"/api/v1/monitors/monitor-{number}/pause")
        await ask("POST", f"/api/v1/monitors/monitor-{number}/resume")
    return found


async def test_no_secret_leaves_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    canaries = Canaries()
    leaks: set[tuple[str, str]] = set()

    def search(where: str, text: str | bytes) -> None:
        leaks.update((where, secret) for secret in canaries.found_in(text))

    async with running(tmp_path) as api, serving(api) as port, websocket(port) as connection:
        canaries.plant(api.token or "", "the operator's access token")
        sent = await plant(api, canaries)
        socket = Socket(connection)
        await socket.login(api)
        for text in await answers(api, sent):
            search(" ".join(text.split()[:2]), text)
        with trio.move_on_after(1):
            while True:
                search("an event", str(await connection.get_message()))
        for path in ("/monitors/monitor-1", "/api-keys"):
            search("an answer to nobody", str(await api.call("GET", path, headers=bearer("x"))))
        search("the files", everything_in(tmp_path))
    search("the log", caplog.text)
    out, err = capfd.readouterr()
    search("standard output", out + err)
    assert leaks == set()
    assert len(canaries.planted) > 25, "or nothing was looked for"
