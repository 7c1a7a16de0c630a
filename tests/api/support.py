"""What the API's tests share: a running app with everything in one file, and the one shape of errors."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import trio
from quart_trio import QuartTrio
from trio_websocket import WebSocketConnection, wrap_client_stream

from peekaping.api.app import create_app
from peekaping.api.passwords import hash_password
from peekaping.api.server import listen, serve
from peekaping.api.settings import ApiSettings
from peekaping.engine.engine import Engine
from peekaping.engine.net.network import Network
from peekaping.store.accounts import Accounts, Role
from peekaping.store.database import Database
from peekaping.store.sqlite import SqliteStore
from tests.api import conformance

EMAIL, PASSWORD = "ops@example.com", "correct horse battery"
UNLIMITED = ApiSettings(rate_limit_per_hour=0, rate_limit_per_minute=0)
HERE = "203.0.113.7"


class Clock:
    """A wall clock that goes on by itself, and forward by hand."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


class Answer(NamedTuple):
    status: int
    json: Any
    headers: Mapping[str, str]


class Api:
    """The app, and a client that is logged in unless told otherwise."""

    def __init__(
        self, app: QuartTrio, engine: Engine, database: Database, clock: Clock, stopping: trio.Event, token: str
    ) -> None:
        self.app = app
        self.engine = engine
        self.database = database
        self.accounts = Accounts(database)
        self.clock = clock
        self.stopping = stopping
        self.token: str | None = token

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        address: str = HERE,
        prefix: str = "/api/v1",
    ) -> Answer:
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        body = data if data is not None else msgspec.json.encode(json) if json is not None else None
        client: Any = self.app.test_client()
        response = await client.open(
            prefix + path, method=method, headers=sent, data=body, scope_base={"client": (address, 50000)}
        )
        raw = await response.get_data(as_text=False)
        is_json = raw and response.headers.get("Content-Type") == "application/json"
        answer = Answer(response.status_code, msgspec.json.decode(raw) if is_json else raw or None, response.headers)
        media_type = response.headers.get("Content-Type", "")
        conformance.check(self.app, method, prefix + path, answer.status, media_type, answer.json)
        return answer

    async def login(self, password: str = PASSWORD, *, email: str = EMAIL, address: str = HERE) -> Answer:
        return await self.call("POST", "/auth/login", {"email": email, "password": password}, address=address)

    async def user(self, email: str, role: Role = Role.ADMIN, *, workspace: int = 1) -> str:
        """Another user, whose password is everybody's here; gives back an access token."""
        mine = await self.accounts.user_by_email(EMAIL)
        assert mine is not None
        await self.accounts.add_user(email, email, mine.password_hash, self.clock(), workspace=workspace, role=role)
        return str((await self.login(email=email)).json["accessToken"])

    async def key(self, *scopes: str, token: str | None = None, **fields: Any) -> dict[str, Any]:
        """An API key of the client's, or of whoever has the token."""
        body = {"name": "script", "scopes": scopes or ("read",), **fields}
        answer = await self.call("POST", "/api-keys", body, headers=bearer(token or self.token))
        assert answer.status == 201, answer
        made: dict[str, Any] = answer.json
        return made

    async def push_monitor(self, name: str = "job", **fields: Any) -> dict[str, Any]:
        answer = await self.call("POST", "/monitors", {"type": "push", "name": name, **fields})
        assert answer.status == 201, answer
        created: dict[str, Any] = answer.json
        return created


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def database_in(path: Path) -> AsyncIterator[Database]:
    database = Database.open(path / "peekaping.db")
    try:
        yield database
    finally:
        with trio.move_on_after(5, shield=True):
            await database.close()


@asynccontextmanager
async def running(
    path: Path,
    settings: ApiSettings = UNLIMITED,
    *,
    min_interval_ms: int = 1000,
    network: Network | None = None,
) -> AsyncIterator[Api]:
    """An app with one user, whose token the client has."""
    clock, stopping = Clock(), trio.Event()
    async with database_in(path) as database:
        accounts = Accounts(database)
        if not await accounts.has_users():
            await accounts.add_user(EMAIL, "Operator", await hash_password(PASSWORD), clock())
        async with Engine.open(SqliteStore(database), min_interval_ms=min_interval_ms, network=network) as engine:
            app = await create_app(engine, database, settings, utc_ms=clock, stopping=stopping)
            api = Api(app, engine, database, clock, stopping, "")
            api.token = (await api.login()).json["accessToken"]
            yield api


def assert_refused(answer: Answer, status: int, code: str, fields: set[str] | None = None) -> str:
    """That the answer is an error in the one shape, about exactly these fields; gives back its message."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json) == {"error"}
    error = answer.json["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == code
    assert isinstance(error["message"], str)
    assert error["message"]
    assert set(error["details"]) == (fields or set())
    assert all(texts and all(isinstance(text, str) for text in texts) for texts in error["details"].values())
    return str(error["message"])


async def until(happened: Callable[[], object]) -> None:
    """Wait for something that real sockets make happen."""
    with trio.fail_after(10):
        while not happened():  # noqa: ASYNC110 - there is no event to wait for
            await trio.sleep(0.005)


@asynccontextmanager
async def websocket(port: int, *headers: tuple[bytes, bytes]) -> AsyncIterator[WebSocketConnection]:
    """A connection to /ws, with the socket in our own hands: the client library leaves it open when the server closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(5):
                connection = await wrap_client_stream(
                    nursery, stream, f"127.0.0.1:{port}", "/ws", extra_headers=list(headers)
                )
            yield connection
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[int]:
    """The app on a real socket of 127.0.0.1; gives its port. Stopped like a real server, at the end."""
    (listener,) = listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, api.app, [listener], stopping=api.stopping))
        try:
            yield port
        finally:
            api.stopping.set()
