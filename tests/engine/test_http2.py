"""HTTP/2: what counts as an answer, frame by frame on a scripted network; how it is agreed on and asked for, over real TLS."""

from __future__ import annotations

import gc
import gzip
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trustme
from h2.events import DataReceived, RequestReceived
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from peekaping.engine.errors import Invalid
from peekaping.engine.net.network import Network
from peekaping.engine.net.tls import Tls
from peekaping.engine.net.trace import CONNECT, Trace
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.probes.http_probe import HttpProbe
from peekaping.engine.records import Outcome, Status
from peekaping.engine.secrets import MASK
from peekaping.engine.user_agent import USER_AGENT

from .http2_target import OK, Seen, Step, data, frame, head, http2, offering, speaking
from .scripted import ScriptedNetwork, ScriptedStream
from .scripted import Step as Heard
from .sites import Site, at, authority, this_host
from .targets import Leave, free_port, issued, saying

UP, DOWN = Status.UP, Status.DOWN
HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
HELLO = frame(SETTINGS, 0, 0)
NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM = bytes(4), (2).to_bytes(4), (7).to_bytes(4)


def check_of(url: str, network: Network, **fields: Any) -> HttpProbe:
    data = {"type": "http", "name": "x", "url": url, "httpVersion": "2", **fields}
    monitor = parse_monitor(data, min_interval_ms=1000)
    assert isinstance(monitor, HttpMonitor)
    return HttpProbe(monitor, network)


# What counts as an answer


class Agreed(ScriptedStream):
    def protocol(self) -> str:
        return "h2"


class Scripted(ScriptedNetwork):
    """A scripted network whose targets all agree on HTTP/2."""

    async def connect(
        self, host: str, port: int, *, trace: Trace, tls: Tls | None = None, ip_version: int | None = None
    ) -> ScriptedStream:
        await trio.lowlevel.checkpoint()
        trace.enter(CONNECT)
        self.open += 1
        script = self.targets[host]
        return Agreed(list(script() if callable(script) else script), self)


async def probe(*steps: Heard, **fields: Any) -> Outcome:
    network = Scripted(site=list(steps))
    outcome = await check_of("https://site/", network, **fields)(Trace())
    assert network.open == 0, "no connection is left open"
    return outcome


def header(*fields: tuple[str, str], status: str | None = "200", end: bool = False, parts: int = 1) -> bytes:
    """A header, by HEADERS and CONTINUATION frames."""
    block = Encoder().encode([*([(":status", status)] if status is not None else []), *fields])
    size = -(-len(block) // parts)
    pieces = [block[start : start + size] for start in range(0, len(block), size)]
    kinds = [(HEADERS, END_STREAM * end), *[(CONTINUATION, 0)] * (parts - 1)]
    return b"".join(
        frame(kind, flags | END_HEADERS * (piece is pieces[-1]), 1, piece)
        for (kind, flags), piece in zip(kinds, pieces, strict=True)
    )


def body(content: bytes, *, end: bool = True) -> bytes:
    return frame(0, END_STREAM * end, 1, content)


LENGTH = ("content-length", "2")
WHOLE = HELLO + header(LENGTH) + body(b"ok")


@pytest.mark.parametrize(
    ("name", "steps", "status", "reason"),
    [
        ("whole", [WHOLE], UP, None),
        ("in single bytes", [WHOLE[i : i + 1] for i in range(len(WHOLE))], UP, None),
        ("no length", [HELLO, header(), body(b"some", end=False), body(b"thing")], UP, None),
        ("empty", [HELLO, header(end=True)], UP, None),
        ("ended by an empty frame", [HELLO, header(LENGTH), body(b"ok", end=False), body(b"")], UP, None),
        ("padded", [HELLO, header(LENGTH), frame(0, END_STREAM | 8, 1, b"\x03ok" + bytes(3))], UP, None),
        ("100 and 103 first", [HELLO, header(status="100"), header(("link", "</a>"), status="103"), WHOLE], UP, None),
        ("trailers", [HELLO, header(LENGTH), body(b"ok", end=False), header(("t", "1"), status=None, end=True)], UP, None),
        ("header in three frames", [HELLO, header(("x-a", "a" * 99), LENGTH, parts=3), body(b"ok")], UP, None),
        ("spaces around a value, which browsers take", [HELLO, header(("x-a", " b ")), body(b"ok")], UP, None),
        ("an unknown frame", [HELLO, frame(200, 0, 1, b"?"), header(end=True)], UP, None),
        ("a larger window", [HELLO, frame(WINDOW_UPDATE, 0, 0, (99).to_bytes(4)), header(end=True)], UP, None),
        ("more than was asked for", [WHOLE + b"garbage beyond measure"], UP, None),
        ("reset after the end", [WHOLE + frame(RST_STREAM, 0, 1, NO_ERROR)], UP, None),
        ("goodbye after the end", [WHOLE + frame(GOAWAY, 0, 0, bytes([0, 0, 0, 1]) + NO_ERROR)], UP, None),
        ("503", [HELLO, header(status="503", end=True)], DOWN, "status_code"),
        ("nothing", [], DOWN, "empty_answer"),
        ("settings alone", [HELLO], DOWN, "empty_answer"),
        ("only 100", [HELLO, header(status="100")], DOWN, "empty_answer"),
        ("header cut", [HELLO, header()[:-1]], DOWN, "empty_answer"),
        ("cut, no length", [HELLO, header(), body(b"ok", end=False)], DOWN, "body_cut_short"),
        ("cut within a frame", [HELLO, header(), body(b"ok")[:-1]], DOWN, "body_cut_short"),
        ("shorter than its length", [HELLO, header(LENGTH), body(b"o")], DOWN, "body_cut_short"),
        ("no body under a length", [HELLO, header(LENGTH, end=True)], DOWN, "body_cut_short"),
        (
            "shorter, by trailers",
            [HELLO, header(LENGTH), body(b"o", end=False), header(("t", "1"), status=None, end=True)],
            DOWN,
            "body_cut_short",
        ),
        ("longer than its length", [HELLO, header(LENGTH), body(b"okay")], DOWN, "bad_answer"),
        ("two lengths", [HELLO, header(LENGTH, ("content-length", "3")), body(b"ok")], DOWN, "bad_answer"),
        ("reset", [HELLO, frame(RST_STREAM, 0, 1, INTERNAL_ERROR)], DOWN, "stream_reset"),
        ("reset in mid-body", [HELLO, header(), body(b"o", end=False), frame(RST_STREAM, 0, 1, NO_ERROR)], DOWN, "stream_reset"),
        ("goodbye with an error", [HELLO, frame(GOAWAY, 0, 0, bytes([0, 0, 0, 1]) + INTERNAL_ERROR)], DOWN, "stream_reset"),
        ("goodbye, not begun", [HELLO, frame(GOAWAY, 0, 0, bytes(4) + NO_ERROR), header(end=True)], DOWN, "stream_reset"),
        ("goodbye, then gone", [HELLO, frame(GOAWAY, 0, 0, bytes([0, 0, 0, 1]) + NO_ERROR)], DOWN, "empty_answer"),
        ("HTTP/1.1", [b"HTTP/1.1 200 OK\r\n\r\n"], DOWN, "bad_answer"),
        ("three bytes of garbage", [b"SSH"], DOWN, "bad_answer"),
        ("zeros", [bytes(99)], DOWN, "bad_answer"),
        ("a frame larger than allowed", [HELLO, header(), frame(0, 0, 1, bytes(16385))], DOWN, "bad_answer"),
        ("broken compression", [HELLO, frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff")], DOWN, "bad_answer"),
        ("no header at all", [HELLO, frame(HEADERS, END_HEADERS, 1)], DOWN, "bad_answer"),
        ("no status", [HELLO, header(("x", "y"), status=None, end=True)], DOWN, "bad_answer"),
        ("a status of letters", [HELLO, header(status="2oo", end=True)], DOWN, "bad_answer"),
        ("two statuses", [HELLO, header((":status", "404"), end=True)], DOWN, "bad_answer"),
        ("a name in upper case", [HELLO, header(("X-A", "b"), end=True)], DOWN, "bad_answer"),
        ("a header of the connection", [HELLO, header(("upgrade", "h2"), end=True)], DOWN, "bad_answer"),
        ("a line end in a value", [HELLO, header(("x-a", "b\r\nc: d"), end=True)], DOWN, "bad_answer"),
        ("a body before its header", [HELLO, body(b"ok")], DOWN, "bad_answer"),
        ("a push nobody allowed", [HELLO, frame(PUSH_PROMISE, END_HEADERS, 1, bytes([0, 0, 0, 2]))], DOWN, "bad_answer"),
        ("a stream nobody opened", [HELLO, frame(HEADERS, END_HEADERS, 3, b"\x88")], DOWN, "bad_answer"),
        ("a stream of the target's own", [HELLO, frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x88")], DOWN, "bad_answer"),
        ("another frame within a header", [HELLO, frame(HEADERS, 0, 1, b"\x88") + HELLO], DOWN, "bad_answer"),
    ],
)  # fmt: skip
async def test_answer(name: str, steps: list[Heard], status: Status, reason: str | None) -> None:
    outcome = await probe(*steps)
    assert (outcome.status, outcome.reason) == (status, reason), outcome.message
    assert outcome.message


@pytest.mark.parametrize(
    ("name", "fields", "answer"),
    [
        ("HEAD", {"method": "HEAD"}, header(("content-length", "9"), end=True)),
        ("HEAD, and a body nobody asked for", {"method": "HEAD"}, header() + body(b"ok")),
        ("204", {}, header(status="204")),
        ("304", {"expectedStatusCodes": [304]}, header(("content-length", "9"), status="304") + body(b"")),
    ],
)
async def test_what_has_no_body_is_whole_without(name: str, fields: dict[str, Any], answer: bytes) -> None:
    outcome = await probe(HELLO + answer, Exception("unreached"), **fields)
    assert outcome.status is UP, outcome.message


async def test_a_reset_says_why() -> None:
    outcome = await probe(HELLO, frame(RST_STREAM, 0, 1, REFUSED_STREAM))
    assert outcome.message == "The target reset the stream before the answer was whole: REFUSED_STREAM"
    outcome = await probe(HELLO, frame(RST_STREAM, 0, 1, (999).to_bytes(4)))
    assert outcome.message.endswith(": error 999")


@pytest.mark.parametrize(
    "refusal",
    [frame(RST_STREAM, 0, 1, REFUSED_STREAM), frame(GOAWAY, 0, 0, bytes(4) + NO_ERROR)],
    ids=["reset", "goodbye"],
)
async def test_a_request_that_was_not_looked_at_is_sent_once_more(refusal: bytes) -> None:
    scripts: list[list[Heard]] = [[HELLO + refusal], [WHOLE], [HELLO + refusal], [HELLO + refusal], [WHOLE]]
    network = Scripted(site=lambda: scripts.pop(0))
    check = check_of("https://site/", network)
    assert (await check(Trace())).status is UP
    assert (await check(Trace())).reason == "stream_reset"
    assert len(scripts) == 1, "the target was asked twice each time"
    assert network.open == 0


async def test_thousands_of_settings_are_refused_before_they_are_read() -> None:
    outcome = await probe(HELLO, frame(SETTINGS, 0, 0, bytes([0x7F, 0, 0, 0, 0, 1]) * 101), WHOLE)
    assert (outcome.status, outcome.reason) == (DOWN, "bad_answer")
    assert (await probe(HELLO, frame(SETTINGS, 0, 0, bytes([0x7F, 0, 0, 0, 0, 1]) * 100) + WHOLE)).status is UP


async def test_what_was_begun_goes_on_after_goodbye() -> None:
    goodbye = frame(GOAWAY, 0, 0, bytes([127, 255, 255, 255]) + NO_ERROR)
    assert (await probe(HELLO + goodbye + header(LENGTH) + goodbye + body(b"ok"))).status is UP


ENDLESS = {
    "settings": HELLO,
    "pings": frame(PING, 0, 0, bytes(8)),
    "windows": frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4)),
    "unknown frames": frame(200, 0, 0),
    "interim answers": header(status="103"),
    "a header": frame(CONTINUATION, 0, 1, bytes(1000)),
    "an empty body": body(b"", end=False),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_never_ends_and_is_no_body_is_cut_off(what: str) -> None:
    begin = {"a header": frame(HEADERS, 0, 1), "an empty body": header()}.get(what, b"")
    piece = ENDLESS[what] * (20_000 // len(ENDLESS[what]))
    outcome = await probe(HELLO + begin, *[piece] * 60)
    assert outcome.status is DOWN
    assert outcome.reason in ("header_too_large", "bad_answer"), "not that the connection ended"


async def test_interim_answers_that_decompress_to_much_are_cut_off() -> None:
    encoder = Encoder()
    bombs = [encoder.encode([(":status", "103"), *[("x-a", "b" * 4000)] * 50]) for _ in range(9)]
    assert sum(map(len, bombs)) < 10_000
    outcome = await probe(HELLO, *[frame(HEADERS, END_HEADERS, 1, bomb) for bomb in bombs], header(end=True))
    assert (outcome.status, outcome.reason) == (DOWN, "header_too_large")


async def test_a_header_that_decompresses_to_much_is_cut_off() -> None:
    outcome = await probe(HELLO, header(*[("x-a", "b" * 4000)] * 80, end=True))
    assert (outcome.status, outcome.reason) == (DOWN, "header_too_large")


async def test_a_large_header_that_is_no_bomb_is_read() -> None:
    assert (await probe(HELLO, header(*[(f"x-{n}", "b" * 4000) for n in range(60)], end=True, parts=20))).status is UP


async def test_a_body_in_frames_of_one_byte_is_read() -> None:
    assert (await probe(HELLO, header(), *[body(b"x", end=False) * 5000] * 20, body(b""))).status is UP


async def test_thousands_of_frames_at_once_hold_nobody_up() -> None:
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            await trio.lowlevel.checkpoint()
            others += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await probe(HELLO, header() + body(b"x", end=False) * 5000 + body(b""))
        nursery.cancel_scope.cancel()
    assert others > 50


async def test_no_more_of_a_body_is_read_than_asked_for() -> None:
    endless = [body(b"x" * 1000, end=False)] * 20
    outcome = await probe(HELLO, header(), *endless, Exception("unreached"), maxBodyBytes=10_000)
    assert outcome.status is UP


async def test_the_body_and_the_header_are_judged() -> None:
    answer = HELLO + header(("content-encoding", "gzip"), ("x-cache", "HIT ")) + body(gzip.compress(b"all is well"))
    asserted = {"keyword": "well", "expectedHeaders": {"X-Cache": "HIT"}}
    assert (await probe(answer, **asserted)).status is UP
    assert (await probe(answer, **{**asserted, "keyword": "bad"})).reason == "keyword_missing"
    assert (await probe(answer, expectedHeaders={"X-Cache": "MISS"})).reason == "header_value"


async def test_spaces_around_a_location_are_no_part_of_it() -> None:
    scripts = [HELLO + header(("location", " /next "), status="302", end=True), WHOLE]
    network = Scripted(site=lambda: [scripts.pop(0)])
    assert (await check_of("https://site/", network)(Trace())).status is UP
    block = network.requests[1].partition(b"\x01\x05\0\0\0\x01")[2]
    assert (b":path", b"/next") in list(Decoder().decode(block, raw=True))


async def test_time_is_told_apart(autojump_clock: MockClock) -> None:
    outcome = await probe(HELLO, 0.25, header(LENGTH), 0.5, body(b"ok"))
    assert outcome.phases is not None
    assert (outcome.phases.wait_us, outcome.phases.receive_us, outcome.response_ms) == (250_000, 500_000, 750)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(max_size=3)), max_size=4), st.binary(max_size=40))
def test_whatever_is_said_is_a_verdict(edits: list[tuple[int, bytes]], more: bytes) -> None:
    said = bytearray(HELLO + WHOLE + frame(PING, 0, 0, bytes(8)) + header(LENGTH) + body(b"ok"))
    for at_byte, instead in edits:
        said[at_byte : at_byte + len(instead)] = instead
    outcome = trio.run(lambda: probe(bytes(said[:-3]), bytes(said[-3:]) + more))
    assert outcome.status in (UP, DOWN)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.builds(frame, st.integers(0, 11), st.integers(0, 63), st.integers(0, 3), st.binary(max_size=12))))
def test_whatever_frames_come_there_is_a_verdict(frames: list[bytes]) -> None:
    assert trio.run(lambda: probe(HELLO, *frames)).status in (UP, DOWN)


async def test_checks_leave_nothing_to_the_garbage_collector() -> None:
    check = check_of("https://site/", Scripted(site=lambda: [HELLO, header(LENGTH), body(b"ok")]))
    await check(Trace())
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            assert (await check(Trace())).status is UP
        assert gc.collect() < 10
    finally:
        gc.enable()


# How it is agreed on


def sockets() -> int:
    """How many are open."""
    gc.collect()
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that listed them
            found += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return found


async def over_tls(site: Site, **fields: Any) -> Outcome:
    with trio.fail_after(10):
        return await check_of(site.url, site.network, **_trusting(fields))(Trace())


def _trusting(fields: dict[str, Any]) -> dict[str, Any]:
    return {"tlsCa": authority().cert_pem.bytes().decode(), **fields}


async def test_an_answer_over_a_real_connection() -> None:
    async with http2(*OK)() as site:
        outcome = await over_tls(site)
    assert (outcome.status, outcome.status_code, outcome.message) == (UP, 200, "OK")


@pytest.mark.parametrize("protocols", [("http/1.1",), ()])
async def test_a_target_without_it_is_spoken_to_in_http_1(protocols: tuple[str, ...]) -> None:
    handler = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", context=offering(*protocols))
    async with at(handler, scheme="https", host="localhost")() as site:
        assert (await over_tls(site)).status is UP


@pytest.mark.parametrize(
    ("fields", "agreed"), [({}, None), ({"httpVersion": "1.1"}, None), ({"httpVersion": "2"}, "h2")]
)
async def test_it_is_offered_only_when_asked_for(fields: dict[str, Any], agreed: str | None) -> None:
    context = offering("h2", "http/1.1")
    protocols: list[str | None] = []

    async def handle(plain: trio.SocketStream) -> None:
        stream = trio.SSLStream(plain, context, server_side=True)
        await stream.do_handshake()
        protocols.append(stream.selected_alpn_protocol())
        await stream.send_all(WHOLE if agreed else b"HTTP/1.1 204 No Content\r\n\r\n")
        await stream.receive_some()

    async with at(handle, scheme="https", host="localhost")() as site:
        monitor = parse_monitor(
            {"type": "http", "name": "x", "url": site.url, **_trusting(fields)}, min_interval_ms=1000
        )
        assert isinstance(monitor, HttpMonitor)
        assert (await HttpProbe(monitor, site.network)(Trace())).status is UP
    assert protocols == [agreed]


async def test_without_tls_it_is_http_1() -> None:
    async with at(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))() as site:
        assert (await check_of(site.url, site.network)(Trace())).status is UP


def test_no_other_version_can_be_asked_for() -> None:
    for wrong in ("3", "1.0", 2):
        with pytest.raises(Invalid) as caught:
            check_of("https://site/", Scripted(), httpVersion=wrong)
        assert "1.1, 2" in caught.value.errors["httpVersion"][0]


async def test_a_redirect_may_lead_to_either_version() -> None:
    async with at(saying(b"HTTP/1.1 204 No Content\r\n\r\n", context=offering("http/1.1")), host="localhost")() as old:
        to_old = head(302, ("location", old.url.replace("http", "https")), end=True)
        async with http2(to_old)() as first:
            to_first = f"HTTP/1.1 302 Found\r\nLocation: {first.url}\r\nContent-Length: 0\r\n\r\n"
            async with at(saying(to_first.encode()))() as plain:  # http -> HTTP/2 -> HTTP/1.1
                assert (await over_tls(plain)).status_code == 204


async def test_a_redirect_is_followed_whatever_becomes_of_its_own_body() -> None:
    async with at(saying(b"HTTP/1.1 204 No Content\r\n\r\n"))() as end:
        async with http2(head(302, ("location", end.url), ("content-length", "9")), float("inf"))() as first:
            with trio.fail_after(5):
                assert (await over_tls(first)).status_code == 204


async def test_the_certificate_is_seen() -> None:
    context = offering("h2")
    with trustme.Blob(b"".join(_pems(issued(authority(), 5.5)))).tempfile() as path:
        context.load_cert_chain(path)
    async with at(speaking(*OK, context=context), scheme="https", host="localhost")() as site:
        outcome = await over_tls(site, checkCertExpiry=True)
    assert outcome.message == "OK; certificate expires in 5 days"


def _pems(certificate: trustme.LeafCert) -> Iterator[bytes]:
    for pem in (certificate.private_key_pem, *certificate.cert_chain_pems):
        yield pem.bytes()


async def test_the_connection_is_not_kept() -> None:
    seen: Seen = []
    async with http2(*OK, seen=seen)() as site:
        check = check_of(site.url, site.network, **_trusting({"keepAlive": True}))
        before = sockets()
        for _ in range(2):
            assert (await check(Trace())).status is UP
        await trio.testing.wait_all_tasks_blocked()
        assert sockets() == before
    assert [event.stream_id for event in seen if isinstance(event, RequestReceived)] == [1, 1]


async def test_an_http_1_connection_is_kept_though_http_2_was_asked_for() -> None:
    connections = 0
    context = offering("http/1.1")

    async def handle(plain: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        stream = trio.SSLStream(plain, context, server_side=True)
        while await stream.receive_some(65536):
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with at(handle, scheme="https", host="localhost")() as site:
        check = check_of(site.url, site.network, **_trusting({"keepAlive": True}))
        with trio.fail_after(10):
            assert [(await check(Trace())).status for _ in range(3)] == [UP] * 3
        check.close()
    assert connections == 1


# How it is asked for


async def request_of(**fields: Any) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The header and the body that a target gets."""
    seen: Seen = []
    async with http2(*OK, seen=seen)() as site:
        outcome = await over_tls(site, **fields)
    assert outcome.status is UP, outcome.message
    (request,) = (event for event in seen if isinstance(event, RequestReceived))
    return list(request.headers), b"".join(event.data for event in seen if isinstance(event, DataReceived))


async def test_the_request_says_what_the_monitor_says() -> None:
    seen: Seen = []
    async with http2(*OK, seen=seen)() as site:
        await over_tls(site._replace(url=f"{site.url}a?b=1"), method="POST", body="héllo", headers={"X-Key": " 1 "})
        (request,) = (event for event in seen if isinstance(event, RequestReceived))
    assert [tuple(field) for field in request.headers] == [
        (b":method", b"POST"), (b":scheme", b"https"), (b":authority", httpx.URL(site.url).netloc), (b":path", b"/a?b=1"),
        (b"user-agent", USER_AGENT.encode()), (b"accept", b"*/*"), (b"x-key", b"1"), (b"content-length", b"6"),
    ]  # fmt: skip


async def test_what_speaks_of_the_connection_is_not_said() -> None:
    headers = {"Host": "other.example", "Keep-Alive": "timeout=5", "Proxy-Connection": "close", "X-Empty": ""}
    sent = dict((await request_of(headers=headers))[0])
    assert sent[b":authority"] == b"other.example"
    assert sent[b"x-empty"] == b""
    assert not sent.keys() & {b"host", b"keep-alive", b"proxy-connection", b"connection"}


async def test_secrets_stay_out_of_the_compression() -> None:
    headers = {"Cookie": "session=" + "x" * 40, "X-Token": "1", "X-Plain": "2"}
    sent, _ = await request_of(headers=headers, secretHeaders=["x-token"], authMethod="bearer", bearerToken="abc")
    secret = {name for name, _ in (field for field in sent if isinstance(field, NeverIndexedHeaderTuple))}
    assert secret == {b"authorization", b"cookie", b"x-token"}


_NAMES = st.text("!#$%&'*+.^_`|~0123456789-abcXYZ", min_size=1, max_size=9)
_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, blacklist_categories=["Cc"]), max_size=9).filter(
    lambda value: value != MASK  # which cannot be saved
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(_NAMES | st.just("Host"), _VALUES, max_size=4))
def test_every_header_that_can_be_saved_can_be_sent(headers: dict[str, str]) -> None:
    assert trio.run(lambda: probe(WHOLE, headers=headers)).status is UP


async def test_a_body_larger_than_any_window_arrives() -> None:
    text = "0123456789" * 300_000
    sent, received = await request_of(method="POST", body=text)
    assert dict(sent)[b"content-length"] == b"3000000"
    assert received == text.encode()


async def test_a_target_that_has_heard_enough_may_answer_before_the_body_is_sent() -> None:
    async with http2(head(413, end=True), 10.0, takes_body=False)() as site:
        outcome = await over_tls(site, method="POST", body="x" * 3_000_000)
    assert (outcome.reason, outcome.status_code) == ("status_code", 413)


@pytest.mark.parametrize("padding", [None, 200])
async def test_a_large_body_arrives(padding: int | None) -> None:
    pieces = [data(b"x" * 10_000, padding=padding)] * 500
    async with http2(head(), *pieces, data(b"the end", end=True))() as site:
        outcome = await over_tls(site, keyword="the end", maxBodyBytes=10_000_000)
    assert outcome.status is UP, outcome.message


async def test_an_endless_body_is_read_to_the_cap() -> None:
    async with http2(head(), for_ever=[data(bytes(16_000))])() as site:
        assert (await over_tls(site)).status is UP
        assert (await over_tls(site, keyword="ok")).reason == "body_too_large"


async def test_a_connection_that_breaks_is_down() -> None:
    async with http2(head(), data(b"half"), Leave)() as site:
        assert (await over_tls(site)).reason == "connection_cut"


# Cancellation


class Interrupted(Agreed):
    """Cancels the check in its nth wait."""

    def __init__(self, network: ScriptedNetwork, scope: trio.CancelScope, waits: list[int]) -> None:
        super().__init__([HELLO, header(), body(b"x", end=False), frame(PING, 0, 0, bytes(8)), body(b"y")], network)
        self._scope, self._waits = scope, waits

    async def send(self, data: bytes) -> None:
        self._wait()
        await super().send(data)

    async def receive(self) -> bytes:
        self._wait()
        return await super().receive()

    def _wait(self) -> None:
        self._waits[0] -= 1
        if not self._waits[0]:
            self._scope.cancel()


async def test_cancelled_at_any_wait_no_connection_is_left() -> None:
    for number in range(1, 20):
        network, scope = Scripted(), trio.CancelScope()

        async def connect(*args: Any, scope: Any = scope, network: Any = network, n: int = number, **_: Any) -> Any:
            network.open += 1
            return Interrupted(network, scope, [n])

        network.connect = connect  # type: ignore[method-assign]
        with scope:
            outcome = await check_of("https://site/", network)(Trace())
        assert network.open == 0
        if not scope.cancelled_caught:
            assert outcome.status is UP
            assert number > 7, "five answers, the request, two acknowledgements"
            return
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("steps", [(60.0,), (head(), 60.0), (head(), data(b"x"), 60.0)])
async def test_a_cancelled_check_leaves_no_socket(steps: tuple[Step, ...]) -> None:
    async with http2(*steps)() as site:
        before = sockets()
        with trio.move_on_after(0.2) as scope:
            await over_tls(site)
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert sockets() <= before + 1, "but for the server's side"


# A server that others wrote

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    keepalive_requests 1;
    gzip on;
    gzip_types *;
    ssl_certificate {folder}/site.pem;
    ssl_certificate_key {folder}/site.pem;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        location / {{ root {folder}; }}
        location /version {{ return 200 $server_protocol; }}
        location /moved {{ return 301 /version; }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """A real nginx, which says goodbye (GOAWAY) before each answer; gives its URL."""
    port = free_port()
    (folder / "site.pem").write_bytes(b"".join(_pems(issued(authority()))))
    (folder / "large").write_text("all is well " * 50_000 + "indeed")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    command = ["/usr/sbin/nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command) as process:
        try:
            yield f"https://localhost:{port}"
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/version", {"keyword": "HTTP/2.0"}),
        ("/moved", {"keyword": "HTTP/2.0"}),
        ("/large", {"keyword": "indeed"}),
        ("/large", {"keyword": "indeed", "headers": {"Accept-Encoding": "identity"}}),
        ("/large", {"method": "HEAD"}),
        ("/large", {"maxBodyBytes": 1000}),
        ("/version", {"method": "POST", "body": "x" * 500_000, "keyword": "HTTP/2.0"}),
    ],
)
async def test_nginx_is_understood(path: str, fields: dict[str, Any], tmp_path: Path) -> None:
    with nginx(tmp_path) as url:
        with trio.fail_after(10):
            await _listens(httpx.URL(url).port or 0)
            outcome = await check_of(url + path, this_host(localhost=("127.0.0.1",)), **_trusting(fields))(Trace())
    assert (outcome.status, outcome.status_code) == (UP, 200), outcome.message


async def _listens(port: int) -> None:
    while True:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        await trio.sleep(0.02)
