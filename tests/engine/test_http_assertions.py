"""What a monitor may expect of an answer, and that nothing unseen passes."""

from __future__ import annotations

import gc
import gzip
import json
import time
import zlib
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from peekaping.engine.net.trace import Trace
from peekaping.engine.probes import parse_monitor, prepare
from peekaping.engine.probes.http_body import PIECE
from peekaping.engine.probes.http_probe import MOST_JUDGES, judges
from peekaping.engine.records import Outcome, Status

from .scripted import ScriptedNetwork, Step, collect, engine_on, http

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
BOMB = gzip.compress(b"\0" * 50_000_000)
WELL = gzip.compress(b"well", mtime=0)  # without the time: it names a test


def answer(body: bytes, *headers: str, code: int = 200) -> bytes:
    head = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


async def probe(steps: list[Step], **fields: Any) -> Outcome:
    network = ScriptedNetwork(site=steps)
    monitor = parse_monitor({"type": "http", "name": "x", "url": "http://site/", **fields}, min_interval_ms=1000)
    outcome = await prepare(monitor, network)(Trace())
    assert network.open == 0, "no connection is left open"
    return outcome


async def verdict(steps: list[Step], **fields: Any) -> tuple[Status, str | None]:
    outcome = await probe(steps, **fields)
    assert outcome.message
    return outcome.status, outcome.reason


# Keywords


@pytest.mark.parametrize(
    ("body", "headers", "keyword", "verdict_of_keyword"),
    [
        (b"all is well", [], "well", (UP, None)),
        (b"all is well", [], "Well", (DOWN, "keyword_missing")),
        (b"", [], "well", (DOWN, "keyword_missing")),
        ("déjà".encode(), [], "déjà", (UP, None)),
        ("déjà".encode("latin-1"), ["Content-Type: text/html; charset=iso-8859-1"], "déjà", (UP, None)),
        ("déjà".encode("latin-1"), ['Content-Type: text/html; charset="ISO-8859-1"; x=y'], "déjà", (UP, None)),
        ("déjà".encode("latin-1"), ["Content-Type: text/html; charset=utf-8"], "déjà", (DOWN, "keyword_missing")),
        ("déjà".encode("latin-1"), ["Content-Type: text/html; charset=utf-8"], "j", (UP, None)),
        ("déjà".encode("utf-16"), [], "déjà", (UP, None)),
        ("déjà".encode("utf-16-be"), ["Content-Type: text/plain; charset=UTF-16BE"], "déjà", (UP, None)),
        ("déjà".encode("utf-8-sig"), ["Content-Type: text/plain; charset=nonsense"], "déjà", (UP, None)),
        (b"x" * (PIECE - 2) + "déjà".encode(), [], "xdéjà", (UP, None)),
        ("déjà".encode("utf-16-be"), ["Content-Type: text/plain; charset=utf-16"], "déjà", (UP, None)),
        ("déjà".encode("utf-16"), ["Content-Type: text/plain; charset=UTF-16"], "déjà", (UP, None)),
        ("déjà".encode("utf-32-be"), ["Content-Type: text/plain; charset=utf_32"], "déjà", (UP, None)),
        ("déjà".encode("utf-32"), ["Content-Type: text/plain; charset=utf-32"], "déjà", (UP, None)),
        (b"error", ["Content-Type: text/plain; charset=utf-16"], "fine", (DOWN, "keyword_missing")),
        (b"", ["Content-Type: text/plain; charset=utf-16"], "fine", (DOWN, "keyword_missing")),
        (b"d+AOk", ["Content-Type: text/plain; charset=utf-7"], "dé", (UP, None)),
        (b"abc", ["Content-Type: text/plain; charset=hex"], "abc", (UP, None)),
        (b"abc", ["Content-Type: text/plain; charset=punycode"], "abc", (UP, None)),
        (b"abc", ["Content-Type: text/plain; charset=idna"], "abc", (UP, None)),
        (b"\\u0061bc", ["Content-Type: text/plain; charset=unicode_escape"], "abc", (DOWN, "keyword_missing")),
    ],
)
async def test_a_keyword_is_text(
    body: bytes, headers: list[str], keyword: str, verdict_of_keyword: tuple[Status, str | None]
) -> None:
    assert await verdict([answer(body, *headers)], keyword=keyword) == verdict_of_keyword


async def test_a_forbidden_keyword_is_down() -> None:
    fields = {"keyword": "error", "invertKeyword": True}
    assert await verdict([answer(b"fine")], **fields) == (UP, None)
    assert await verdict([answer(b"an error")], **fields) == (DOWN, "keyword_present")


async def test_a_wrong_status_code_says_more_than_a_missing_keyword() -> None:
    assert await verdict([answer(b"oops", code=500)], keyword="fine") == (DOWN, "status_code")


# The cap


@pytest.mark.parametrize(
    ("body", "fields", "expected"),
    [
        (b"fine" + b"x" * 96, {"keyword": "fine"}, (UP, None)),
        (b"fine" + b"x" * 97, {"keyword": "fine"}, (UP, None)),
        (b"x" * 96 + b"fine", {"keyword": "fine"}, (UP, None)),
        (b"x" * 97 + b"fine", {"keyword": "fine"}, (DOWN, "body_too_large")),
        (b"x" * 100, {"keyword": "fine"}, (DOWN, "keyword_missing")),
        (b"x" * 101, {"keyword": "fine"}, (DOWN, "body_too_large")),
        (b"x" * 100, {"keyword": "error", "invertKeyword": True}, (UP, None)),
        (b"x" * 101, {"keyword": "error", "invertKeyword": True}, (DOWN, "body_too_large")),
        (b"error" + b"x" * 101, {"keyword": "error", "invertKeyword": True}, (DOWN, "keyword_present")),
        (b"[1" + b" " * 97 + b"]", {"jsonQuery": "$[0]", "expectedValue": 1}, (UP, None)),
        (b"[1" + b" " * 98 + b"]", {"jsonQuery": "$[0]", "expectedValue": 1}, (DOWN, "body_too_large")),
    ],
)
async def test_what_the_cap_hides_passes_no_assertion(
    body: bytes, fields: dict[str, Any], expected: tuple[Status, str | None]
) -> None:
    assert await verdict([answer(body)], maxBodyBytes=100, **fields) == expected
    in_pieces: list[Step] = [*[answer(body)[i : i + 7] for i in range(0, len(answer(body)), 7)]]
    assert await verdict(in_pieces, maxBodyBytes=100, **fields) == expected
    zipped = answer(gzip.compress(body, mtime=0), "Content-Encoding: gzip")
    assert await verdict([zipped], maxBodyBytes=100, **fields) == expected


async def test_an_endless_body_is_judged_by_what_was_read() -> None:
    endless: list[Step] = [b"HTTP/1.1 200 OK\r\n\r\nfine", *[b"x" * 1000] * 100]
    assert await verdict(list(endless), keyword="fine", maxBodyBytes=10_000) == (UP, None)
    assert await verdict(list(endless), keyword="done", maxBodyBytes=10_000) == (DOWN, "body_too_large")


# Content codings


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


ZIPPED = gzip.compress(b"all is well " * 10_000, mtime=0)


@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        ("gzip", WELL, (UP, None)),
        ("x-gzip", WELL, (UP, None)),
        ("GZIP", WELL, (UP, None)),
        ("gzip", gzip.compress(b"we", mtime=0) + gzip.compress(b"ll", mtime=0), (UP, None)),
        ("gzip", WELL + b"\0" * 50, (UP, None)),
        ("gzip", WELL * 101, (DOWN, "body_corrupt")),
        ("deflate", zlib.compress(b"well"), (UP, None)),
        ("deflate", raw_deflate(b"well"), (UP, None)),
        ("identity", b"well", (UP, None)),
        ("gzip", ZIPPED[:-9], (DOWN, "body_corrupt")),
        ("gzip", ZIPPED[:-1], (DOWN, "body_corrupt")),
        ("gzip", ZIPPED[:-8] + b"\0\0\0\0" + ZIPPED[-4:], (DOWN, "body_corrupt")),
        ("gzip", b"well", (DOWN, "body_corrupt")),
        ("gzip", b"", (DOWN, "body_corrupt")),
        ("deflate", zlib.compress(b"well" * 100)[:-1], (DOWN, "body_corrupt")),
        ("deflate", b"", (DOWN, "body_corrupt")),
        ("br", b"well", (DOWN, "content_encoding")),
        ("gzip, gzip", gzip.compress(WELL, mtime=0), (DOWN, "content_encoding")),
    ],
)
async def test_a_compressed_body(coding: str, body: bytes, expected: tuple[Status, str | None]) -> None:
    steps: list[Step] = [answer(body, f"Content-Encoding: {coding}")]
    assert await verdict(list(steps), keyword="well") == expected
    assert await verdict(steps) == (UP, None), "nobody asked what it says"


async def test_a_decompression_bomb_stops_at_the_cap() -> None:
    began = time.process_time()
    fields = {"keyword": "x", "maxBodyBytes": 100_000}
    assert await verdict([answer(BOMB, "Content-Encoding: gzip")], **fields) == (DOWN, "body_too_large")
    assert time.process_time() - began < 0.5


async def test_compression_is_asked_for_only_by_who_reads_the_body() -> None:
    network = ScriptedNetwork(site=lambda: [answer(b"x")])
    for fields in ({}, {"keyword": "x"}, {"keyword": "x", "headers": {"accept-encoding": "identity"}}):
        monitor = parse_monitor({"type": "http", "name": "x", "url": "http://site/", **fields}, min_interval_ms=1000)
        await prepare(monitor, network)(Trace())
    plain, asserted, own = network.requests
    assert b"ccept-" not in plain
    assert b"Accept-Encoding: gzip, deflate\r\n" in asserted
    assert b"accept-encoding: identity\r\n" in own
    assert b"gzip" not in own


# JSON

DOCUMENT = {
    "status": "ok",
    "count": 5,
    "load": 0.5,
    "big": 12345678901234567890,
    "text5": "5",
    "on": True,
    "nothing": None,
    "tags": ["prod", "eu", 7],
    "services": [{"name": "a", "up": True, "ms": 3}, {"name": "b", "up": False, "ms": 40}],
}


@pytest.mark.parametrize(
    ("query", "condition", "expected", "reason"),
    [
        ("$.status", None, "ok", None),
        ("$.status", "==", "ok", None),
        ("$.status", "==", "OK", "json_value"),
        ("$.status", "!=", "failing", None),
        ("$.status", "!=", "ok", "json_value"),
        ("$.status", "contains", "k", None),
        ("$.status", "contains", "x", "json_value"),
        ("$.count", "==", 5, None),
        ("$.count", "==", "5", None),
        ("$.count", "==", "5.0", None),
        ("$.count", "==", 5.0, None),
        ("$.count", "!=", "5.0", "json_value"),
        ("$.count", ">", "4.5", None),
        ("$.count", ">=", 5, None),
        ("$.count", "<", 5, "json_value"),
        ("$.count", "<=", 4, "json_value"),
        ("$.load", "<", 1, None),
        ("$.big", "==", "12345678901234567890", None),
        ("$.big", "==", "12345678901234567891", "json_value"),
        ("$.text5", "==", "5", None),
        ("$.text5", "==", 5, None),
        ("$.text5", "==", "5.0", "json_value"),
        ("$.text5", ">", 4, "json_value"),
        ("$.on", "==", True, None),
        ("$.on", "==", "true", None),
        ("$.on", "==", 1, "json_value"),
        ("$.on", ">", 0, "json_value"),
        ("$.nothing", "==", "null", None),
        ("$.nothing", ">", 0, "json_value"),
        ("$.tags", "contains", "prod", None),
        ("$.tags", "contains", "pro", "json_value"),
        ("$.tags", "contains", 7, None),
        ("$.tags", "==", '["prod","eu",7]', None),
        ("$.missing", "==", "x", "json_path_missing"),
        ("$.missing", "!=", "x", "json_path_missing"),
        ("$.services[?@.name == 'a'].up", "==", True, None),
        ("$.services[?@.name == 'c'].up", "==", True, "json_path_missing"),
        ("$.services[*].up", "==", True, "json_value"),
        ("$.services[*].ms", "<", 50, None),
        ("$..ms", "<", 40, "json_value"),
        ("$.services[?length(@.name) == 1].ms", "<", 50, None),
        ("$.services[?@.ms == $.services[0].ms].name", "==", "a", None),
        ("$['services'][-1]['name']", "==", "b", None),
    ],
)
async def test_a_value_in_json(query: str, condition: str | None, expected: object, reason: str | None) -> None:
    for body in (json.dumps(DOCUMENT).encode(), json.dumps(DOCUMENT).encode("utf-8-sig")):
        fields = {"jsonQuery": query, "jsonCondition": condition, "expectedValue": expected}
        assert await verdict([answer(body)], **fields) == (DOWN if reason else UP, reason)


@pytest.mark.parametrize(
    "body", [b"", b'{"a": 1', b"<html>", b"{'a': 1}", b"[1] 2", b'"\xff"', b'{"a": NaN}', b"1e999"]
)
async def test_json_cut_short_or_none_is_down(body: bytes) -> None:
    fields: dict[str, Any] = {"jsonQuery": "$", "jsonCondition": "!=", "expectedValue": "x"}
    assert await verdict([answer(body)], **fields) == (DOWN, "json_invalid")


async def test_a_long_value_is_shown_in_part() -> None:
    outcome = await probe([answer(json.dumps("x" * 10_000).encode())], jsonQuery="$", expectedValue="y")
    assert outcome.message == f"The value at $ is {'x' * 100}…, expected == y"


async def test_keyword_and_json_must_both_hold() -> None:
    fields = {"keyword": "ok", "jsonQuery": "$.n", "expectedValue": 1}
    assert await verdict([answer(b'{"n": 1, "s": "ok"}')], **fields) == (UP, None)
    assert await verdict([answer(b'{"n": 1, "s": "no"}')], **fields) == (DOWN, "keyword_missing")
    assert await verdict([answer(b'{"n": 2, "s": "ok"}')], **fields) == (DOWN, "json_value")


@pytest.mark.parametrize("body", [b"[" * 500 + b"]" * 500, b"[" * 100_000])
async def test_json_nested_too_deep_is_down(body: bytes) -> None:
    assert await verdict([answer(body)], jsonQuery="$..x", expectedValue=1) == (DOWN, "json_too_deep")


async def test_a_large_body_holds_up_nobody() -> None:
    body = b"[" + b",".join([b'{"a": [1, 2, {"b": "ccc"}]}'] * 30_000) + b"]"
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await trio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    gc.disable()  # as the server does
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            began = time.perf_counter()
            assert await verdict([answer(body)], jsonQuery="$..b", expectedValue="ccc") == (UP, None)
            took = time.perf_counter() - began
            nursery.cancel_scope.cancel()
    finally:
        gc.enable()
    assert longest < took / 2


async def test_judging_a_large_body_can_be_cancelled() -> None:
    body = b"[" + b",".join([b"[]"] * 100_000) + b"]"
    with trio.move_on_after(0.05) as scope:
        await verdict([answer(body)], jsonQuery="$..b", expectedValue="ccc")
    assert scope.cancelled_caught


def keep_judges_busy() -> None:
    for place in range(MOST_JUDGES):
        judges().acquire_on_behalf_of_nowait(place)


LARGE: list[Step] = [answer(b"fine" + b"x" * 100_000)]


async def test_time_that_is_up_while_we_judge_is_not_the_targets_failure() -> None:
    keep_judges_busy()
    network = ScriptedNetwork(site=lambda: list(LARGE))
    async with engine_on(network) as engine:

        async def add() -> None:
            await engine.add(http(keyword="fine", timeout=100))

        (beat,) = await collect(engine, 1, then=add)
        assert engine.statistics().faults == 1
    assert (beat.status, beat.reason) == (UNKNOWN, "starved")
    assert "judging the answer" in beat.message


async def test_judging_does_not_wait_for_other_users_of_threads() -> None:
    others = trio.to_thread.current_default_thread_limiter()
    for place in range(int(others.total_tokens)):
        others.acquire_on_behalf_of_nowait(place)
    with trio.fail_after(10):
        assert await verdict(list(LARGE), keyword="fine") == (UP, None)


async def test_a_small_body_is_judged_at_once_unless_the_query_costs_much() -> None:
    keep_judges_busy()
    steps: list[Step] = [answer(json.dumps([{"a": 1}] * 400).encode())]
    with trio.fail_after(10):
        assert await verdict(list(steps), jsonQuery="$[0].a", expectedValue=1) == (UP, None)
    with trio.move_on_after(0.1) as scope:
        await verdict(list(steps), jsonQuery="$[?@.a == 1 && @.a < 2].a", expectedValue=1)
    assert scope.cancelled_caught, "it waits for a thread"


# Headers and time


@pytest.mark.parametrize(
    ("given", "expected", "reason"),
    [
        (["X-Cache: HIT"], {"x-cache": "HIT"}, None),
        (["x-cache:   HIT  "], {"X-Cache": "HIT"}, None),
        (["X-Cache: hit"], {"X-Cache": "HIT"}, "header_value"),
        ([], {"X-Cache": "HIT"}, "header_missing"),
        (["Vary: a", "Vary: b"], {"Vary": "a, b"}, None),
        (["X-Name: d\xe9j\xe0"], {"X-Name": "d\xe9j\xe0"}, None),
        (["X-Empty:"], {"X-Empty": ""}, None),
        (["X-Folded: one\r\n  two"], {"X-Folded": "one  two"}, None),
        (["X-A: 1", "X-B: 2"], {"X-A": "1", "X-B": "3"}, "header_value"),
    ],
)
async def test_expected_headers(given: list[str], expected: dict[str, str], reason: str | None) -> None:
    assert await verdict([answer(b"ok", *given)], expectedHeaders=expected) == (DOWN if reason else UP, reason)


async def test_neither_an_interim_answer_nor_a_trailer_holds_the_header() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n"
    trailer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: 1\r\n\r\n"
    assert await verdict([interim + trailer], expectedHeaders={"X-A": "1"}) == (DOWN, "header_missing")


async def test_a_slow_answer_stays_up_and_says_so(autojump_clock: MockClock) -> None:
    slow = await probe([0.75, answer(b"ok")], degradedAfter=500)
    assert (slow.status, slow.message) == (UP, "OK; slow: 750 ms, more than 500 ms")
    quick = await probe([0.5, answer(b"ok")], degradedAfter=500)
    assert (quick.status, quick.message) == (UP, "OK")
