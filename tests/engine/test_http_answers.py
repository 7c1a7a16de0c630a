"""What counts as an answer: every way a target can answer over one connection, on a scripted network."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio

from peekaping.engine.net.failure import Failed
from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.probes.http_answer import Answer
from peekaping.engine.probes.http_probe import HttpProbe
from peekaping.engine.records import Outcome, Status

from .scripted import FAILING, OK, ScriptedNetwork, ScriptedStream, Step

UP, DOWN = Status.UP, Status.DOWN
HEAD = b"HTTP/1.1 200 OK\r\n"


async def probe(network: ScriptedNetwork, **fields: Any) -> Outcome:
    data = {"type": "http", "name": "x", "url": "http://site/path?q=1", **fields}
    monitor = parse_monitor(data, min_interval_ms=1000)
    assert isinstance(monitor, HttpMonitor)
    outcome = await HttpProbe(monitor, network)(Trace())
    assert network.open == 0, "no connection is left open"
    return outcome


@pytest.mark.parametrize(
    ("name", "steps", "status", "reason"),
    [
        ("whole", [OK], UP, None),
        ("in single bytes", [OK[i : i + 1] for i in range(len(OK))], UP, None),
        ("no content", [b"HTTP/1.1 204 No Content\r\n\r\n"], UP, None),
        ("no length, closed", [HEAD + b"\r\nsome", b"thing"], UP, None),
        ("empty, closed", [HEAD + b"\r\n"], UP, None),
        ("chunked", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"], UP, None),
        (
            "chunk extension and trailer",
            [HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n"],
            UP,
            None,
        ),
        ("100 first", [b"HTTP/1.1 100 Continue\r\n\r\n" + OK], UP, None),
        ("103 with length first", [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK], UP, None),
        ("HTTP/1.0", [b"HTTP/1.0 200 OK\r\n\r\nbody"], UP, None),
        ("more than promised", [OK + b"garbage"], UP, None),
        ("503", [FAILING], DOWN, "status_code"),
        ("cut short by length", [HEAD + b"Content-Length: 10\r\n\r\nabc"], DOWN, "body_cut_short"),
        ("chunked, cut", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc"], DOWN, "body_cut_short"),
        (
            "chunked, last chunk missing",
            [HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
            DOWN,
            "body_cut_short",
        ),
        ("broken chunk", [HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"], DOWN, "bad_answer"),
        ("header cut", [HEAD + b"Content-Len"], DOWN, "empty_answer"),
        ("nothing", [], DOWN, "empty_answer"),
        ("only 100", [b"HTTP/1.1 100 Continue\r\n\r\n"], DOWN, "empty_answer"),
        ("garbage", [b"SSH-2.0-OpenSSH_9.2\r\n"], DOWN, "bad_answer"),
        ("header bomb", [HEAD, *[b"X-A: " + b"a" * 60_000 + b"\r\n"] * 6], DOWN, "header_too_large"),
        ("reset in mid-answer", [HEAD, Failed(DOWN, "connection_reset", "reset")], DOWN, "connection_reset"),
        ("refused", [Failed(DOWN, "connection_refused", "refused")], DOWN, "connection_refused"),
        ("no descriptors", [Failed(Status.UNKNOWN, "no_descriptors", "ours")], Status.UNKNOWN, "no_descriptors"),
    ],
)
async def test_answer(name: str, steps: list[Step], status: Status, reason: str | None) -> None:
    outcome = await probe(ScriptedNetwork(site=steps))
    assert (outcome.status, outcome.reason) == (status, reason)
    assert outcome.message


async def test_the_request_says_what_the_monitor_says() -> None:
    network = ScriptedNetwork(site=[OK])
    await probe(network, method="POST", body="héllo", headers={"X-Key": "1", "user-agent": "me"})
    assert network.requests == [
        b"POST /path?q=1 HTTP/1.1\r\nHost: site\r\nAccept: */*\r\nX-Key: 1\r\nuser-agent: me\r\n"
        b"Content-Length: 6\r\nConnection: close\r\n\r\nh\xc3\xa9llo"
    ]


async def test_an_international_name_is_asked_for_as_a_labels() -> None:
    network = ScriptedNetwork()
    network.targets["xn--mnchen-3ya.example"] = [OK]
    await probe(network, url="https://münchen.example/straße")
    assert network.connections[0][1:] == ("xn--mnchen-3ya.example", 443, True)
    assert network.requests[0].startswith(b"GET /stra%C3%9Fe HTTP/1.1\r\nHost: xn--mnchen-3ya.example\r\n")


async def test_a_head_answer_has_no_body_whatever_its_length_says() -> None:
    outcome = await probe(ScriptedNetwork(site=[HEAD + b"Content-Length: 100\r\n\r\n"]), method="HEAD")
    assert outcome.status is UP


async def test_an_endless_body_is_read_to_the_cap_and_does_no_harm() -> None:
    endless = ScriptedNetwork(site=[HEAD + b"\r\n", *[b"x" * 1000] * 100, Failed(DOWN, "unreached", "")])
    assert (await probe(endless, maxBodyBytes=10_000)).status is UP


async def test_a_good_check_tells_code_time_and_phases(autojump_clock: trio.testing.MockClock) -> None:
    outcome = await probe(ScriptedNetwork(site=[0.25, OK[:20], 0.5, OK[20:]]))
    assert (outcome.status_code, outcome.response_ms, outcome.message) == (200, 750, "OK")
    assert outcome.phases is not None
    assert (outcome.phases.wait_us, outcome.phases.receive_us, outcome.phases.tls_us) == (250_000, 500_000, None)


def moved(code: int, to: str) -> list[Step]:
    return [f"HTTP/1.1 {code} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()]


async def test_redirects_are_followed_relative_ones_too() -> None:
    network = ScriptedNetwork(site=moved(301, "//other/a/"), other=moved(302, "../b"), third=[OK])
    network.targets["other"] = iter_scripts(moved(302, "../b"), moved(307, "https://third:8443/c"))
    outcome = await probe(network)
    assert outcome.status is UP
    assert [connection[1:] for connection in network.connections] == [
        ("site", 80, False), ("other", 80, False), ("other", 80, False), ("third", 8443, True),
    ]  # fmt: skip
    assert [request.split()[1] for request in network.requests] == [b"/path?q=1", b"/a/", b"/b", b"/c"]


def iter_scripts(*scripts: list[Step]) -> Any:
    remaining = list(scripts)
    return lambda: remaining.pop(0)


@pytest.mark.parametrize(
    ("code", "method", "then"), [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD"),
                                 (307, "POST", "POST"), (308, "PUT", "PUT"), (301, "DELETE", "DELETE")]
)  # fmt: skip
async def test_a_redirect_changes_the_method_as_browsers_do(code: int, method: str, then: str) -> None:
    network = ScriptedNetwork(site=iter_scripts(moved(code, "/b"), [OK]))
    body = "payload" if method in ("POST", "PUT") else None
    await probe(network, method=method, body=body)
    second = network.requests[1]
    assert second.startswith(then.encode() + b" /b ")
    assert second.endswith(b"payload") == (then == method and body is not None)


async def test_secret_headers_stay_with_their_origin() -> None:
    network = ScriptedNetwork(site=moved(302, "http://other/"), other=[OK])
    await probe(network, headers={"Authorization": "Bearer x", "Cookie": "a=b", "X-Plain": "1"})
    assert b"Bearer x" in network.requests[0]
    assert b"X-Plain: 1" in network.requests[1]
    assert b"Bearer" not in network.requests[1]
    assert b"Cookie" not in network.requests[1]


@pytest.mark.parametrize("rest", [b"", b"zz\r\n", Failed(DOWN, "connection_cut", "no goodbye"), float("inf")])
@pytest.mark.parametrize("framing", ["", "Content-Length: 9\r\n", "Transfer-Encoding: chunked\r\n"])
async def test_a_redirect_is_followed_whatever_becomes_of_its_own_body(rest: Step, framing: str) -> None:
    redirect = f"HTTP/1.1 302 Found\r\nLocation: /b\r\n{framing}\r\n".encode()
    steps: list[Step] = [redirect + rest] if isinstance(rest, bytes) else [redirect, rest]
    with trio.fail_after(5):
        outcome = await probe(ScriptedNetwork(site=iter_scripts(steps, [OK])))
    assert outcome.status is UP


async def test_but_where_it_is_the_answer_its_body_counts() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 9\r\n\r\nabc"
    outcome = await probe(ScriptedNetwork(site=[redirect]), maxRedirects=0, expectedStatusCodes=[302])
    assert (outcome.status, outcome.reason) == (DOWN, "body_cut_short")


async def test_blanks_around_a_location_are_none_of_it() -> None:
    network = ScriptedNetwork(site=iter_scripts([b"HTTP/1.1 302 Found\r\nLocation:  /b \t \r\n\r\n"], [OK]))
    assert (await probe(network)).status is UP
    assert network.requests[1].startswith(b"GET /b HTTP/1.1\r\n")


@pytest.mark.parametrize("location", ["", " \t"])
async def test_a_redirect_to_nowhere_is_the_answer(location: str) -> None:
    outcome = await probe(ScriptedNetwork(site=moved(302, location)))
    assert (outcome.status, outcome.reason, outcome.status_code) == (DOWN, "status_code", 302)


@pytest.mark.parametrize(
    ("to", "reason"),
    [("ftp://site/", "bad_redirect"), ("http://site:99999/", "bad_redirect"),
     ("/loop", "too_many_redirects")],
)  # fmt: skip
async def test_a_redirect_that_leads_nowhere_is_down(to: str, reason: str) -> None:
    network = ScriptedNetwork(site=lambda: moved(302, to))
    outcome = await probe(network, maxRedirects=3)
    assert (outcome.status, outcome.reason) == (DOWN, reason)
    assert len(network.connections) <= 4


async def test_without_redirects_the_redirect_is_the_answer() -> None:
    network = ScriptedNetwork(site=moved(302, "http://other/"))
    outcome = await probe(network, maxRedirects=0, expectedStatusCodes=["300-399"])
    assert (outcome.status, outcome.status_code) == (UP, 302)


async def test_cancelled_at_any_wait_no_connection_is_left(autojump_clock: trio.testing.MockClock) -> None:
    waits: list[list[Step]] = [[10.0, OK], [HEAD, 10.0], [HEAD + b"\r\nx", 10.0]]
    for steps in waits:
        network = ScriptedNetwork(site=steps)
        with trio.move_on_after(1) as scope:
            await probe(network)
        assert scope.cancelled_caught
        assert network.open == 0


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("lines without CR", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        ("a coding that lasts to the end", HEAD + b"Transfer-Encoding: identity\r\n\r\nok"),
        (
            "a length beside chunks",
            HEAD + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ("spaces after a chunk's size", HEAD + b"Transfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0\r\n\r\n"),
        ("a header folded over two lines", HEAD + b"X-Long: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
        ("100 that says it closes the connection", b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" + OK),
        ("103 in HTTP/1.0", b"HTTP/1.0 103 Early Hints\r\n\r\n" + OK),
        ("another answer nobody asked for", OK + b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_what_browsers_read_is_no_outage(name: str, answer: bytes) -> None:
    outcome = await probe(ScriptedNetwork(site=[answer]))
    assert (outcome.status, outcome.status_code) == (UP, 200), outcome.message


@pytest.mark.parametrize("method", ["on_header", "on_headers_complete", "on_body", "on_message_complete"])
@pytest.mark.parametrize("ours", [MemoryError(), ZeroDivisionError()])
async def test_a_fault_of_ours_while_parsing_is_not_the_answers(
    method: str, ours: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise ours

    monkeypatch.setattr(Answer, method, fails)
    with pytest.raises(type(ours)):
        await probe(ScriptedNetwork(site=[OK]))


async def test_a_request_that_cannot_be_sent_leaves_nothing_to_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fails(stream: ScriptedStream, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        raise Failed(DOWN, "connection_reset", "reset")

    monkeypatch.setattr(ScriptedStream, "send", fails)
    network = ScriptedNetwork(site=list)
    assert (await probe(network)).reason == "connection_reset"  # what is made once is there
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await probe(network)
        assert gc.collect() < 10
    finally:
        gc.enable()


async def test_framing_without_end_is_cut_off() -> None:
    endless = ScriptedNetwork(site=[HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", *[b"x" * 60_000] * 100])
    outcome = await probe(endless)
    assert (outcome.status, outcome.reason) == (DOWN, "header_too_large")


async def test_a_body_in_chunks_of_one_byte_is_read() -> None:
    chunks = [b"1\r\nx\r\n" * 5000] * 20
    outcome = await probe(ScriptedNetwork(site=[HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n"]))
    assert outcome.status is UP


async def test_a_name_that_idna_2008_has_not_is_asked_for_as_it_is() -> None:
    network = ScriptedNetwork(site=moved(302, "http://xn--ls8h.la/"))
    network.targets["xn--ls8h.la"] = [OK]
    assert (await probe(network)).status is UP


async def test_a_location_in_utf_8_is_followed_as_browsers_do() -> None:
    network = ScriptedNetwork(site=iter_scripts([b"HTTP/1.1 302 Found\r\nLocation: /caf\xc3\xa9\r\n\r\n"], [OK]))
    await probe(network)
    assert network.requests[1].startswith(b"GET /caf%C3%A9 ")


async def test_a_redirect_to_a_name_that_cannot_be_is_down() -> None:
    outcome = await probe(ScriptedNetwork(site=lambda: moved(302, "http://a..b/")))
    assert (outcome.status, outcome.reason) == (DOWN, "bad_redirect")
