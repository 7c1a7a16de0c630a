"""An HTTP service on loopback that notes what it is sent and answers as a test says, and messages to send to it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import h11
import trio

from peekaping.engine.alerts.channel import deliver
from peekaping.engine.alerts.channels import parse_channel
from peekaping.engine.alerts.message import Event, Message, compose
from peekaping.engine.alerts.web import Web
from peekaping.engine.monitor import Monitor
from peekaping.engine.probes import parse_monitor
from peekaping.engine.records import Entry, Heartbeat, Status

from ..targets import serving

AT = 1_705_746_600_000
AT_ISO = "2024-01-20T10:30:00.000Z"
LOOPBACK_ALLOWED = ("169.254.0.0/16",)


class Request(NamedTuple):
    """What arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


class Answer(NamedTuple):
    """What is answered."""

    status: int = 200
    body: bytes = b"ok"
    headers: tuple[tuple[str, str], ...] = ()


class Service:
    """Answers each request with the next of `answers`, the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers or [Answer()])
        self.requests: list[Request] = []
        self.url = ""

    @property
    def request(self) -> Request:
        """The only one."""
        (request,) = self.requests
        return request

    async def handle(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        head: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return
        assert head is not None
        headers = {name.decode(): value.decode() for name, value in head.headers}
        self.requests.append(Request(head.method.decode(), head.target.decode(), headers, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        begin = h11.Response(status_code=answer.status, headers=[("Connection", "close"), *answer.headers])
        for event in (begin, h11.Data(data=answer.body), h11.EndOfMessage()):
            await stream.send_all(connection.send(event) or b"")


@asynccontextmanager
async def service(*answers: Answer) -> AsyncGenerator[Service, None]:
    """A service on a free port."""
    made = Service(*answers)
    async with serving(made.handle) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made


async def send(kind: str, config: dict[str, Any], message: Message | None = None) -> str:
    """Send one message through a channel; gives what the service said."""
    channel = parse_channel(kind, config)
    async with Web(LOOPBACK_ALLOWED) as web:
        return await deliver(channel, message if message is not None else down(), web)


def entry(number: int = 123, **fields: Any) -> Entry:
    """A monitor as the server keeps it."""
    given = {"type": "http", "name": "Website Monitor", "url": "https://example.com", **fields}
    monitor: Monitor = parse_monitor(given, min_interval_ms=1000)
    return Entry(number, monitor, AT, AT)


def down(key: str = "delivery-1", number: int = 123, **fields: Any) -> Message:
    """A monitor went down."""
    heartbeat = Heartbeat(number, AT, Status.DOWN, "Connection timeout")
    return compose(Event.DOWN, key=key, at=AT, entry=entry(number, **fields), heartbeat=heartbeat)


def up(key: str = "delivery-2", number: int = 123, **fields: Any) -> Message:
    """It recovered, after five minutes."""
    heartbeat = Heartbeat(number, AT, Status.UP, "OK", None, 234, 200)
    made = entry(number, **fields)
    return compose(Event.UP, key=key, at=AT, entry=made, heartbeat=heartbeat, down_since=AT - 300_000)
