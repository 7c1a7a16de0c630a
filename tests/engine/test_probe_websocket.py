"""WebSockets: the handshake, what is said and expected, closing, and nothing left behind."""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason

from peekaping.engine.errors import Invalid
from peekaping.engine.net.egress import EgressGuard
from peekaping.engine.net.network import HostNetwork, Network
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.websocket import CLOSE_WITHIN_S, LARGEST_MESSAGE, WebsocketMonitor, WebsocketProbe
from peekaping.engine.records import Outcome, Status
from peekaping.engine.user_agent import USER_AGENT

from .scripted import ScriptedNetwork, Step
from .test_network import Handler, descriptors, free_port, serving, silence

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
DATA = {"type": "websocket", "name": "x", "url": "ws://site/live"}


async def probe(network: Network, **fields: Any) -> Outcome:
    monitor = parse_monitor({**DATA, **fields}, min_interval_ms=1000)
    assert isinstance(monitor, WebsocketMonitor)
    return await WebsocketProbe(monitor, network)(Trace())


async def over_loopback(port: int, path: str = "/live", **fields: Any) -> Outcome:
    with trio.fail_after(10):
        return await probe(HostNetwork(EgressGuard()), **{"url": f"ws://127.0.0.1:{port}{path}", **fields})


class Server:
    """The server's end of one WebSocket."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.protocol = WSConnection(ConnectionType.SERVER)
        self.received: list[Event] = []

    async def next(self) -> Event | None:
        """What the client says; None when it is gone."""
        while True:
            event = next(self.protocol.events(), None)
            if event is not None:
                self.received.append(event)
                return event
            data = await self.stream.receive_some(65536)
            if not data:
                return None
            self.protocol.receive_data(bytes(data))

    async def say(self, *events: Event) -> None:
        for event in events:
            await self.stream.send_all(self.protocol.send(event))


Script = Callable[[Server], Awaitable[None]]


def websocket_server(script: Script, servers: list[Server] | None = None) -> Handler:
    """Answers the request as the script says and then says goodbye to who says goodbye."""

    async def handle(stream: trio.abc.Stream) -> None:
        server = Server(stream)
        if servers is not None:
            servers.append(server)
        assert isinstance(await server.next(), Request)
        await script(server)
        while (event := await server.next()) is not None:
            if isinstance(event, CloseConnection) and event.code != CloseReason.ABNORMAL_CLOSURE:
                await server.say(event.response())

    return handle


async def accept(server: Server) -> None:
    await server.say(AcceptConnection())


async def echo(server: Server) -> None:
    await accept(server)
    event = await server.next()
    assert isinstance(event, TextMessage)
    await server.say(TextMessage("you said: " + event.data))


async def test_a_handshake_is_up() -> None:
    servers: list[Server] = []
    async with serving(websocket_server(accept, servers)) as port:
        outcome = await over_loopback(port, "/live/ä?q=1", headers={"Origin": "https://site", "X-Key": "ü"})
    assert (outcome.status, outcome.reason, outcome.message) == (UP, None, "WebSocket is open")
    request, goodbye = servers[0].received
    assert isinstance(request, Request)
    assert (request.target, request.host) == ("/live/%C3%A4?q=1", f"127.0.0.1:{port}")
    headers = dict(request.extra_headers)
    assert (headers[b"origin"], headers[b"x-key"]) == (b"https://site", "ü".encode("latin-1"))
    assert headers[b"user-agent"] == USER_AGENT.encode()
    assert isinstance(goodbye, CloseConnection), "it closes properly"
    assert goodbye.code == 1000
    assert outcome.phases is not None
    assert None not in (outcome.phases.connect_us, outcome.phases.send_us, outcome.phases.wait_us)


async def test_it_goes_by_the_name_it_is_given() -> None:
    network = ScriptedNetwork(site=[])
    await probe(network, headers={"user-agent": "me"})
    assert network.requests[0].lower().count(b"user-agent: me\r\n") == network.requests[0].lower().count(b"agent") == 1


async def test_what_is_said_and_expected() -> None:
    async with serving(websocket_server(echo)) as port:
        outcome = await over_loopback(port, send='{"op": "ping"} ü', expect='said: {"op": "ping"} ü')
    assert (outcome.status, outcome.message) == (UP, "WebSocket answers as expected")
    assert outcome.phases is not None
    assert outcome.phases.receive_us is not None


@pytest.mark.parametrize("together", [True, False])
async def test_interim_answers_are_no_refusal(*, together: bool) -> None:
    async def hint_first(server: Server) -> None:
        hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        said = server.protocol.send(AcceptConnection())
        for piece in [hints + said] if together else [hints, said]:
            await server.stream.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()

    async with serving(websocket_server(hint_first)) as port:
        outcome = await over_loopback(port)
    assert (outcome.status, outcome.reason) == (UP, None)


async def test_other_messages_are_skipped_and_pings_answered() -> None:
    servers: list[Server] = []

    async def chatter(server: Server) -> None:
        await accept(server)
        await server.say(TextMessage("hello"), BytesMessage(b"ready"), Ping(b"are you there"))
        await server.say(TextMessage("re", message_finished=False), TextMessage("other"))
        await server.say(TextMessage("rea", message_finished=False), TextMessage("dy to serve"))

    async with serving(websocket_server(chatter, servers)) as port:
        assert (await over_loopback(port, expect="ready")).status is UP
    assert [event.payload for event in servers[0].received if isinstance(event, Pong)] == [b"are you there"]


async def test_what_is_expected_must_be_in_one_message() -> None:
    async def in_two(server: Server) -> None:
        await accept(server)
        await server.say(TextMessage("rea"), TextMessage("dy"), CloseConnection(code=1000))

    async with serving(websocket_server(in_two)) as port:
        assert (await over_loopback(port, expect="ready")).reason == "websocket_closed"


async def test_a_subprotocol_is_asked_for_and_may_be_chosen() -> None:
    async def choose(server: Server) -> None:
        (request,) = server.received
        assert isinstance(request, Request)
        assert request.subprotocols == ["graphql-ws", "soap"]
        await server.say(AcceptConnection(subprotocol="soap"))

    async with serving(websocket_server(choose)) as port:
        outcome = await over_loopback(port, headers={"Sec-WebSocket-Protocol": "graphql-ws, soap"})
    assert outcome.status is UP


async def refuse(server: Server) -> None:
    await server.say(RejectConnection(status_code=403))


async def hint_and_hang_up(server: Server) -> None:
    await server.stream.send_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    await server.stream.aclose()


async def hang_up(server: Server) -> None:
    await server.stream.aclose()


async def close(server: Server) -> None:
    await accept(server)
    await server.say(CloseConnection(code=1013, reason="try again later"))


async def cut(server: Server) -> None:
    await accept(server)
    await server.stream.aclose()


async def lie(server: Server) -> None:
    await server.stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    )


async def speak_latin(server: Server) -> None:
    await server.stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgr\xe0de\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    )


async def answer_http(server: Server) -> None:
    await server.stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def speak_otherwise(server: Server) -> None:
    await server.stream.send_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def bad_frame(server: Server) -> None:
    await accept(server)
    await server.stream.send_all(b"\xff\xff\xff\xff")


async def bad_text(server: Server) -> None:
    await accept(server)
    await server.stream.send_all(b"\x81\x02\xff\xfe")  # a text must be UTF-8 (RFC 6455, 8.1)


async def too_large(server: Server) -> None:
    await accept(server)
    for _ in range(LARGEST_MESSAGE // 65536 + 1):
        await server.say(TextMessage("x" * 65536, message_finished=False))


@pytest.mark.parametrize(
    ("script", "reason", "part"),
    [
        (refuse, "not_a_websocket", "answered 403 Forbidden in place of a WebSocket"),
        (answer_http, "not_a_websocket", "answered 200 OK in place of a WebSocket"),
        (hang_up, "empty_answer", "without an answer"),
        (hint_and_hang_up, "empty_answer", "without an answer"),
        (lie, "bad_answer", "no WebSocket handshake"),
        (speak_latin, "bad_answer", "no WebSocket handshake"),
        (speak_otherwise, "bad_answer", "no WebSocket handshake"),
        (close, "websocket_closed", "closed the WebSocket: 1013 try again later"),
        (cut, "connection_cut", "without closing the WebSocket"),
        (bad_frame, "bad_answer", "breaks the protocol"),
        (bad_text, "bad_answer", "breaks the protocol"),
        (too_large, "message_too_large", "more than 1048576 characters"),
    ],
)
async def test_no_good_answer_is_down(script: Script, reason: str, part: str) -> None:
    async with serving(websocket_server(script)) as port:
        outcome = await over_loopback(port, expect="hello")
    assert (outcome.status, outcome.reason) == (DOWN, reason)
    assert part in outcome.message


async def test_nobody_listening_is_refused_and_a_denied_address_unknown() -> None:
    assert (await over_loopback(free_port())).reason == "connection_refused"
    denied = await over_loopback(80, url="ws://169.254.169.254/")
    assert (denied.status, denied.reason) == (UNKNOWN, "egress_denied")


async def test_in_tls_with_an_authority_of_ones_own() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    async def handle(plain: trio.SocketStream) -> None:
        await websocket_server(echo)(trio.SSLStream(plain, context, server_side=True))  # type: ignore[arg-type]  # a stream too

    async with serving(handle) as port:
        fields = {"url": f"wss://localhost:{port}/", "send": "x", "expect": "said: x"}
        trusted = await over_loopback(port, **fields, tlsCa=authority.cert_pem.bytes().decode())
        distrusted = await over_loopback(port, **fields)
        ignored = await over_loopback(port, **fields, ignoreTlsErrors=True)
    assert (trusted.status, ignored.status, distrusted.status) == (UP, UP, DOWN)
    assert (distrusted.reason or "").startswith("tls_")
    assert trusted.phases is not None
    assert trusted.phases.tls_us is not None


async def test_ports_and_names_come_from_the_url() -> None:
    for url, connection in [
        ("ws://site", ("site", 80, False)),
        ("wss://site/", ("site", 443, True)),
        ("ws://site:8080/a", ("site", 8080, False)),
        ("wss://münchen.example", ("xn--mnchen-3ya.example", 443, True)),
        ("ws://[::1]:81/", ("::1", 81, False)),
    ]:
        network = ScriptedNetwork()
        network.targets[connection[0]] = []
        assert (await probe(network, url=url)).reason == "empty_answer"
        assert network.connections[0][1:] == connection
        assert network.requests[0].startswith(b"GET /")
        assert network.open == 0


# Saying goodbye


class MemoryStream:
    """A connection in memory, so that time can be virtual."""

    def __init__(
        self, stream: trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]
    ) -> None:
        self.stream = stream
        self.is_open = True

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def receive(self) -> bytes:
        return bytes(await self.stream.receive_some())

    def certificate(self) -> None: ...

    def protocol(self) -> None: ...

    def set_user_timeout(self, seconds: float) -> None: ...

    def is_quiet(self) -> bool:
        return True

    def close(self) -> None:
        self.is_open = False


class MemoryNetwork(ScriptedNetwork):
    """Connects to one server that accepts and then never says a word."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__()
        self._nursery = nursery

    async def connect(self, *target: object, **options: object) -> MemoryStream:  # type: ignore[override]  # whatever it is
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._accept, theirs)
        self.stream = MemoryStream(ours)
        return self.stream

    async def _accept(self, stream: trio.abc.Stream) -> None:
        await trio.sleep(0.1)
        server = Server(stream)
        await server.next()
        await accept(server)


@pytest.mark.parametrize("deadline_s", [10, 0.2])
async def test_a_target_that_does_not_say_goodbye_is_up_and_not_waited_for_long(
    deadline_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery)
        with trio.fail_after(deadline_s):  # which may pass meanwhile: the verdict stands
            outcome = await probe(network)
    assert (outcome.status, outcome.response_ms) == (UP, 100)
    assert trio.current_time() - began == pytest.approx(0.1 + CLOSE_WITHIN_S)
    assert not network.stream.is_open


async def test_a_target_that_hangs_up_after_the_handshake_is_up() -> None:
    async with serving(websocket_server(cut)) as port:
        assert (await over_loopback(port)).status is UP


async def test_a_flood_of_tiny_messages_does_not_hold_up_the_loop() -> None:
    flood = b"\x81\x00" * 30_000  # what one read brings

    async def pour(stream: trio.SocketStream) -> None:
        server = Server(stream)
        await server.next()
        await accept(server)
        await stream.send_all(flood)
        await trio.sleep_forever()

    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await trio.lowlevel.checkpoint()
            ticks += 1

    async with serving(pour) as port, trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        with trio.move_on_after(0.2):
            await over_loopback(port, expect="hello")
        nursery.cancel_scope.cancel()
    assert ticks > 1000


# Fields and cancellation


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("url", None, "URL is required"),
        ("url", " ", "is required"),
        ("url", "http://site/", "ws:// or wss://"),
        ("url", "ws://", "not valid"),
        ("url", "ws://a b/", "not valid"),
        ("url", "ws://user:secret@site/", "password"),
        ("url", "ws://site/#x", "fragment"),
        ("url", "ws://site:99999/", "65535"),
        ("url", "ws://" + "x" * 60 + ":8080/", "not valid"),
        ("headers", {"Host": "x"}, "must not set Host"),
        ("headers", {"Sec-WebSocket-Key": "x"}, "must not set Sec-WebSocket-Key"),
        ("headers", {"Upgrade": "x"}, "must not set Upgrade"),
        ("headers", {"X": "a\nb"}, "control characters"),
        ("send", "", "is required"),
        ("expect", "x" * 70_000, "at most 65536"),
        ("tlsCa", "x", "cannot be used"),
    ],
)
def test_a_wrong_field_is_refused(field: str, value: object, part: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_monitor({**DATA, field: value}, min_interval_ms=1000)
    assert part in caught.value.errors[field][0]


async def test_space_around_a_headers_value_is_not_sent() -> None:
    network = ScriptedNetwork(site=[])
    assert (await probe(network, headers={"X-A": " padded\t"})).reason == "empty_answer"
    assert b"X-A: padded\r\n" in network.requests[0]


hosts = st.sampled_from(["site", "münchen.example", "192.0.2.1", "[::1]"]) | st.text(max_size=80)
names = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,10}", fullmatch=True) | st.text(max_size=5)


@given(hosts, st.text(max_size=20), st.dictionaries(names, st.text(max_size=10), max_size=2))
async def test_what_is_saved_can_be_asked(host: str, path: str, headers: dict[str, str]) -> None:
    network = ScriptedNetwork()
    network.targets = defaultdict(list)
    try:
        outcome = await probe(network, url=f"ws://{host}/{path}", headers=headers)
    except Invalid:
        return
    assert outcome.reason == "empty_answer"


async def test_cancelled_at_any_wait_no_connection_is_left(autojump_clock: trio.testing.MockClock) -> None:
    waits: list[list[Step]] = [[10.0], [b"HTTP/1.1 101 Switching", 10.0]]
    for steps in waits:
        network = ScriptedNetwork(site=steps)
        with trio.move_on_after(1) as scope:
            await probe(network)
        assert scope.cancelled_caught
        assert network.open == 0


async def accept_and_wait(stream: trio.SocketStream) -> None:
    server = Server(stream)
    await server.next()
    await accept(server)
    await server.say(TextMessage("hel", message_finished=False))
    await trio.sleep_forever()


@pytest.mark.parametrize("handler", [silence, accept_and_wait])
async def test_a_cancelled_check_leaves_no_socket(handler: Handler) -> None:
    async with serving(handler) as port:
        before = len(descriptors())
        with trio.move_on_after(0.1) as scope:
            await over_loopback(port, expect="hello")
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert len(descriptors()) <= before + 1, "but for the server's side"
