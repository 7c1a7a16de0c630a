"""What is detected, as a table: what goes wrong, the verdict with its reason code, and how soon it comes.

Each row is a target or resolver on loopback that misbehaves in exactly that way, or a fault of this host. The table is tested row
by row (`test_detection_matrix.py`) and printed for the documentation:

    python -m tests.engine.detection_matrix > docs/detection.md
"""

from __future__ import annotations

import errno
import gzip
import ssl
from functools import partial
from typing import Any, NamedTuple

import dns.rcode
import trio
import trustme
from dns.rdatatype import RdataType

from peekaping.engine.engine import Engine
from peekaping.engine.reading import EngineStatistics
from peekaping.engine.records import Heartbeat, Status

from .http2_target import data, frame, head, http2
from .nameserver import zone
from .scripted import collect
from .sites import (
    ADDRESS,
    BOTH_FAMILIES,
    OK,
    Target,
    amid,
    at,
    authority,
    body,
    broken,
    by_intermediate,
    by_name,
    good,
    http,
    https,
    losing,
    moved,
    named,
    nobody,
    paths,
    silent,
    slow,
    stalled_database,
    starving,
    unanswered,
)
from .targets import (
    Leave,
    Reset,
    connecting_fails,
    gateway_is_dead,
    hang_in_handshake,
    issued,
    no_descriptors,
    reset_at_once,
    saying,
    self_signed,
    silence,
    weakly_signed,
    without_alternative_name,
)

UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HTTP_2 = {"httpVersion": "2"}
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
GOAWAY = frame(7, 0, 0, (1).to_bytes(4) + bytes(4))
JSON = {"jsonQuery": "$.a", "expectedValue": "ok"}
INTRODUCTION = """# What is detected

Each line is tested against a target, a nameserver or a host that misbehaves in exactly this way
(`tests/engine/detection_matrix.py`, from which this page is printed). A fault of this host is `unknown`, never `down`: it changes
no uptime and sends no alert. The verdict always comes within the monitor's `timeout`, one budget for names, connecting, TLS, all
redirects and the whole body; where the fault shows by itself, it comes at once. What lies beyond this host's own gateway is not
this host: when the line behind it is cut, targets that are given by address are down."""


class When(NamedTuple):
    """How soon a verdict comes. Bounds are wide, for a machine that does something else as well."""

    words: str
    timeout_ms: int
    """The budget of the check: long where it is not to be used up, short where it is waited for."""
    least_s: float
    most_s: float


AT_ONCE = When("at once", 5000, 0.0, 2.5)
WITHIN = When("within the timeout", 2000, 0.0, 3.0)
AT_TIMEOUT = When("at the timeout", 2000, 2.0, 3.0)
STARVED = When("at the timeout, noticed late", 600, 0.6, 2.0)
"""The loop stands still for a second."""


class Row(NamedTuple):
    """One scenario."""

    what: str
    target: Target
    status: Status
    reason: str | None = None
    fields: dict[str, Any] = {}  # noqa: RUF012 (never written to)
    says: str = ""
    """What the message holds."""
    when: When = AT_ONCE
    virtual: bool = False
    """Whether it takes place in virtual time, on a scripted network."""


TABLE: dict[str, list[Row]] = {
    "Names": [
        Row("the name does not exist (NXDOMAIN)", named(zone()), DOWN, "name_not_found"),
        Row("the zone is broken (SERVFAIL)", named(zone(site=dns.rcode.SERVFAIL)), DOWN, "name_servfail"),
        Row(
            "no nameserver answers for this name, but they do for others",
            named(zone(site=None)),
            DOWN,
            "name_silent",
            when=WITHIN,
        ),
        Row(
            "the zone is broken, at a nameserver that refuses all zones but its own",
            named(zone(site=dns.rcode.SERVFAIL, others=dns.rcode.REFUSED)),
            DOWN,
            "name_servfail",
        ),
        Row("the first nameserver is dead, the second answers", named(silent, ADDRESS), UP, when=WITHIN),
        Row(
            "a question to the first nameserver gets lost, and the second does not know the name",
            named(losing(2, ADDRESS), zone()),
            UP,
        ),
        Row("the answer is slow, but comes", named(slow(ADDRESS, 0.05)), UP),
        Row(
            "its IPv6 address is dead, and the answer with its IPv4 address is slow",
            named(slow(BOTH_FAMILIES, 0.2, RdataType.A)),
            UP,
        ),
        Row(
            "`ipVersion` 4, and the answer with its IPv4 address is slow",
            named(slow(BOTH_FAMILIES, 0.2, RdataType.A)),
            UP,
            fields={"ipVersion": 4},
        ),
        Row("aliases in a circle", named(zone(site=["CNAME b."], b=["CNAME site."])), DOWN, "name_loop"),
        Row("the name has no address", named(zone(site=["TXT x"])), DOWN, "no_address"),
        Row(
            "`ipVersion` 6, and the name has IPv4 addresses only", named(ADDRESS), DOWN, "no_address", {"ipVersion": 6}
        ),
    ],
    "Connections": [
        Row("nobody listens", nobody, DOWN, "connection_refused"),
        Row(
            "the host cannot be reached (a router says so)",
            amid(partial(connecting_fails, errno.EHOSTUNREACH, on_the_way=True), nobody),
            DOWN,
            "host_unreachable",
        ),
        Row(
            "its network cannot be reached (a router says so)",
            amid(partial(connecting_fails, errno.ENETUNREACH, on_the_way=True), nobody),
            DOWN,
            "host_unreachable",
        ),
        Row(
            "a firewall before the target rejects what comes (ICMPv6)",
            amid(partial(connecting_fails, errno.EACCES, on_the_way=True), nobody),
            DOWN,
            "host_unreachable",
        ),
        Row("nothing answers the attempt to connect", unanswered, DOWN, "timeout", says="connecting", when=AT_TIMEOUT),
        Row("accepted, then silent", at(silence), DOWN, "timeout", says="waiting for the answer", when=AT_TIMEOUT),
        Row("reset after connecting", at(reset_at_once), DOWN, "connection_reset"),
        Row("reset in mid-answer", http(HEAD + b"Content-Length: 9\r\n\r\nabc", Reset), DOWN, "connection_reset"),
        Row("one of two addresses is dead", by_name(http(OK)), UP),
    ],
    "TLS": [
        Row("a good certificate", https(good()), UP),
        Row("expired", https(good(-1, begins_in_days=-9)), DOWN, "tls_expired"),
        Row("not valid yet", https(good(9, begins_in_days=1)), DOWN, "tls_not_yet_valid"),
        Row("for another host", https(good(host="other.example")), DOWN, "tls_wrong_host"),
        Row(
            "for this host by its common name only",
            https(lambda: without_alternative_name(authority())),
            DOWN,
            "tls_wrong_host",
        ),
        Row("signed by itself", https(self_signed), DOWN, "tls_self_signed"),
        Row("from an authority nobody knows", https(lambda: issued(trustme.CA())), DOWN, "tls_untrusted"),
        Row("with its intermediate certificate", https(by_intermediate), UP),
        Row("without its intermediate certificate", https(by_intermediate, whole_chain=False), DOWN, "tls_untrusted"),
        Row("signed with SHA-1", https(lambda: weakly_signed(authority())), DOWN, "tls_weak"),
        Row(
            "TLS 1.0 and 1.1 only",
            https(good(), minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1),
            DOWN,
            "tls_handshake",
        ),
        Row(
            "TLS 1.2 and a suite without forward secrecy, as browsers take it",
            https(good(key_type=trustme.KeyType.RSA), ciphers="AES128-SHA", maximum_version=ssl.TLSVersion.TLSv1_2),
            UP,
        ),
        Row(
            "TLS 1.2 and a suite with CBC, as browsers take it",
            https(good(), ciphers="ECDHE-ECDSA-AES128-SHA", maximum_version=ssl.TLSVersion.TLSv1_2),
            UP,
        ),
        Row(
            "the handshake hangs",
            at(hang_in_handshake, scheme="https"),
            DOWN,
            "timeout",
            says="shaking hands",
            when=AT_TIMEOUT,
        ),
        Row("plain HTTP on the port", at(saying(OK), scheme="https"), DOWN, "tls_handshake"),
        Row("ended without close_notify after a whole answer", https(good(), OK, Leave), UP),
        Row("ended without close_notify before that", https(good(), HEAD + b"\r\nhalf", Leave), DOWN, "connection_cut"),
        Row(
            "`checkCertExpiry`, and it ends in five days",
            https(good(5.5)),
            UP,
            fields={"checkCertExpiry": True},
            says="OK; certificate expires in 5 days",
        ),
        Row("`ignoreTlsErrors`, and it is signed by itself", https(self_signed), UP, fields={"ignoreTlsErrors": True}),
    ],
    "HTTP": [
        Row("500", http(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), DOWN, "status_code"),
        Row("503", http(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), DOWN, "status_code"),
        Row("a status line of garbage", http(b"\x00\x01garbage\r\n\r\n"), DOWN, "bad_answer"),
        Row("a header without end", http(HEAD, for_ever=(b"X: " + b"y" * 8000 + b"\r\n",)), DOWN, "header_too_large"),
        Row(
            "the first byte never comes",
            http(float("inf")),
            DOWN,
            "timeout",
            says="waiting for the answer",
            when=AT_TIMEOUT,
        ),
        Row(
            "a byte now and then, for ever",
            http(HEAD + b"\r\n", for_ever=(b"x", 0.1)),
            DOWN,
            "timeout",
            says="receiving",
            when=AT_TIMEOUT,
        ),
        Row("a body shorter than Content-Length", http(HEAD + b"Content-Length: 9\r\n\r\nabc"), DOWN, "body_cut_short"),
        Row("chunks cut off", http(CHUNKED + b"5\r\nabc"), DOWN, "body_cut_short"),
        Row("the last chunk missing", http(CHUNKED + b"3\r\nabc\r\n"), DOWN, "body_cut_short"),
        Row("a broken chunk", http(CHUNKED + b"zz\r\nabc\r\n"), DOWN, "bad_answer"),
        Row("chunk extensions and trailers", http(CHUNKED + b"3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n"), UP),
        Row(
            "blanks within chunk extensions (RFC 9112 allows them, the parser does not)",
            http(CHUNKED + b"3; x=y\r\nabc\r\n0\r\n\r\n"),
            DOWN,
            "bad_answer",
        ),
        Row("no length, closed", http(HEAD + b"\r\nsomething"), UP),
        Row("closed without an answer", http(), DOWN, "empty_answer"),
        Row("a header line folded over two", http(HEAD + b"X: a\r\n  b\r\nContent-Length: 0\r\n\r\n"), UP),
        Row("204", http(b"HTTP/1.1 204 No Content\r\n\r\n", float("inf")), UP),
        Row(
            "304 with the length of what it does not send, where 304 is expected",
            http(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", float("inf")),
            UP,
            fields={"expectedStatusCodes": [304]},
        ),
        Row(
            "HEAD: a length, and no body",
            http(HEAD + b"Content-Length: 9\r\n\r\n", float("inf")),
            UP,
            fields={"method": "HEAD"},
        ),
        Row(
            "HEAD is answered otherwise than GET",
            http(b"HTTP/1.1 405 No\r\nContent-Length: 9\r\n\r\n"),
            DOWN,
            "status_code",
            {"method": "HEAD"},
        ),
        Row(
            "100 and 103 before the answer",
            http(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0.01, OK),
            UP,
        ),
        Row(
            "100 that says it closes the connection",
            http(b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n", OK),
            UP,
        ),
        Row("a redirect in a circle", http(moved("/")), DOWN, "too_many_redirects"),
        Row("more redirects than `maxRedirects`", paths(lambda path: moved(f"{path}x")), DOWN, "too_many_redirects"),
        Row("a relative redirect", paths(lambda path: OK if path == "/next" else moved("next")), UP),
        Row(
            "a redirect whose own body is cut short",
            paths(lambda path: OK if path == "/next" else moved("/next", length=9)),
            UP,
        ),
        Row("a redirect to nowhere: an empty Location", http(moved("")), DOWN, "status_code"),
        Row("a redirect to another scheme", http(moved("ftp://127.0.0.1/")), DOWN, "bad_redirect"),
        Row(
            "a redirect to an address this host may not visit",
            http(moved("http://169.254.169.254/")),
            UNKNOWN,
            "egress_denied",
        ),
        Row("a body without end, of which nothing is asserted", http(HEAD + b"\r\n", for_ever=(bytes(65536),)), UP),
        Row(
            "a body without end, and `keyword` not within `maxBodyBytes`",
            http(HEAD + b"\r\n", for_ever=(bytes(65536),)),
            DOWN,
            "body_too_large",
            {"keyword": "ok"},
        ),
        Row(
            "a decompression bomb",
            http(body(gzip.compress(bytes(5_000_000)), "Content-Encoding: gzip")),
            DOWN,
            "body_too_large",
            {"keyword": "ok"},
        ),
        Row(
            "a compressed body cut short under a whole answer",
            http(body(gzip.compress(b"ok" * 99)[:-3], "Content-Encoding: gzip")),
            DOWN,
            "body_corrupt",
            {"keyword": "ok"},
        ),
        Row(
            "an encoding that is not known",
            http(body(b"ok", "Content-Encoding: br")),
            DOWN,
            "content_encoding",
            {"keyword": "ok"},
        ),
        Row(
            "a wrong charset",
            http(body("über".encode("latin-1"), "Content-Type: text/html; charset=utf-8")),
            DOWN,
            "keyword_missing",
            {"keyword": "über"},
        ),
        Row("200 with an empty body", http(body(b"")), DOWN, "keyword_missing", {"keyword": "ok"}),
        Row("200 with an error page", http(body(b"<h1>Oops</h1>")), DOWN, "keyword_missing", {"keyword": "Welcome"}),
        Row(
            "200 with the forbidden keyword",
            http(body(b"<h1>Oops</h1>")),
            DOWN,
            "keyword_present",
            {"keyword": "Oops", "invertKeyword": True},
        ),
        Row("JSON with a wrong value", http(body(b'{"a": "bad"}')), DOWN, "json_value", JSON),
        Row("JSON without the value", http(body(b'{"b": "ok"}')), DOWN, "json_path_missing", JSON),
        Row("JSON cut short", http(body(b'{"a": "ok"')), DOWN, "json_invalid", JSON),
        Row("a wrong header", http(OK), DOWN, "header_missing", {"expectedHeaders": {"X-Cache": "HIT"}}),
        Row("slower than `degradedAfter`", http(0.05, OK), UP, fields={"degradedAfter": 10}, says="OK; slow: "),
    ],
    "HTTP/2": [
        Row("a whole answer", http2(head(), data(b"ok", end=True)), UP, fields=HTTP_2),
        Row("the target speaks HTTP/1.1 only", https(good(), OK), UP, fields=HTTP_2),
        Row("HTTP/1.1 where HTTP/2 was agreed on", http2(OK), DOWN, "bad_answer", HTTP_2),
        Row("the stream is reset", http2(head(), frame(3, 0, 1, (2).to_bytes(4))), DOWN, "stream_reset", HTTP_2),
        Row("the connection ends before the stream", http2(head(), data(b"half")), DOWN, "body_cut_short", HTTP_2),
        Row("GOAWAY, and what was begun goes on", http2(GOAWAY, head(), data(b"ok", end=True)), UP, fields=HTTP_2),
        Row("pings without end", http2(for_ever=(frame(6, 0, 0, bytes(8)) * 99,)), DOWN, "bad_answer", HTTP_2),
    ],
    "This host": [
        Row("no descriptors left", amid(no_descriptors, http(OK)), UNKNOWN, "no_descriptors"),
        Row("no descriptors left to ask a nameserver", amid(no_descriptors, named(ADDRESS)), UNKNOWN, "no_descriptors"),
        Row("no memory left", broken(MemoryError()), UNKNOWN, "fault"),
        Row("a bug in a probe", broken(ZeroDivisionError("oops")), UNKNOWN, "fault"),
        Row("no route to anywhere", amid(partial(connecting_fails, errno.ENETUNREACH), nobody), UNKNOWN, "no_route"),
        Row(
            "a route of its own says that there is no way to the target",
            amid(partial(connecting_fails, errno.EHOSTUNREACH), nobody),
            UNKNOWN,
            "no_route",
        ),
        Row(
            "its gateway (of IPv4) does not answer", amid(gateway_is_dead, nobody), UNKNOWN, "no_route", says="gateway"
        ),
        Row("a firewall of its own", amid(partial(connecting_fails, errno.EPERM), nobody), UNKNOWN, "forbidden_here"),
        Row("its nameservers are gone", named(silent, silent), UNKNOWN, "resolver_silent", when=WITHIN),
        Row("its nameservers fail every question", named(zone(others=dns.rcode.SERVFAIL)), UNKNOWN, "resolver_refuses"),
        Row(
            "its nameservers are cut off, and answer only what they remember",
            named(zone(**{".": ["NS a.root-servers.net."], "other": ["A 192.0.2.1"]}, others=dns.rcode.SERVFAIL)),
            UNKNOWN,
            "resolver_refuses",
        ),
        Row("the event loop stood still for a second", starving(at(silence)), UNKNOWN, "starved", when=STARVED),
        Row("it did, and the target hung up meanwhile", starving(http(0.5)), UNKNOWN, "starved"),
        Row(
            "it did, and meanwhile the target gave up on the request (408)",
            starving(http(0.5, TIMED_OUT)),
            UNKNOWN,
            "starved",
        ),
        Row("the database stalls for ten seconds: stored later", stalled_database, UP, virtual=True),
    ],
}


class Verdict(NamedTuple):
    """What came of a row."""

    heartbeat: Heartbeat
    took_s: float
    statistics: EngineStatistics
    stored: list[Heartbeat]


async def run(row: Row) -> Verdict:
    """Check the row's target once, with an engine of its own."""
    async with row.target() as site, Engine.open(site.store, network=site.network) as engine:
        fields = {"type": "http", "name": row.what, "url": site.url, "timeout": row.when.timeout_ms, **row.fields}
        if site.url.startswith("https"):
            fields["tlsCa"] = authority().cert_pem.bytes().decode()
        began = trio.current_time()

        async def add() -> None:
            await engine.add(fields)

        (heartbeat,) = await collect(engine, 1, then=add)
        took_s = trio.current_time() - began
        statistics = engine.statistics()
        if row.virtual:
            await trio.sleep(60)
        return Verdict(heartbeat, took_s, statistics, await engine.heartbeats(heartbeat.monitor_id))


def as_markdown() -> str:
    """The documentation's page."""
    lines = [INTRODUCTION]
    for layer, rows in TABLE.items():
        lines += [f"\n## {layer}\n", "| what happens | verdict | reason code | when |", "|---|---|---|---|"]
        lines += [
            f"| {row.what} | {row.status} | {f'`{row.reason}`' if row.reason else ''} | {row.when.words} |"
            for row in rows
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(as_markdown(), end="")
