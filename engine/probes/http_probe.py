"""One check of an HTTP monitor: the request, its redirects, and what is made of the last answer.

A fresh connection for each check, as a user of the site makes it, unless `keepAlive` says otherwise. HTTP/1.1 by httptools,
HTTP/2 by h2, over our own connections; the numbers behind that choice are in `net/connection.py`. A 200 whose body was cut short
is an outage, so the body is read to its end, or to `maxBodyBytes`.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache, partial

import trio
from trio.lowlevel import RunVar

from peekaping.engine.certificate import Certificate, CertificateReader
from peekaping.engine.clock import utc_ms
from peekaping.engine.net.failure import Failed
from peekaping.engine.net.network import Network
from peekaping.engine.net.trace import JUDGE, Trace
from peekaping.engine.probes import http_body, http_json
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.probes.http_answer import Answer, Wanted
from peekaping.engine.probes.http_exchange import exchange
from peekaping.engine.probes.http_kept import KeptConnection
from peekaping.engine.probes.http_request import Request, follow
from peekaping.engine.probes.probe import Probe
from peekaping.engine.probes.shared import failed
from peekaping.engine.records import Outcome, Status, plain_message
from peekaping.engine.secrets import secret_headers
from peekaping.engine.user_agent import USER_AGENT

PLAIN_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*"}
EXPIRES_SOON_DAYS = 14
"""Certificates are renewed 30 days before their end (Let's Encrypt's advice): half of that has gone wrong for two weeks."""
INLINE_WORK = 16 * 1024
"""A body of so many bytes, times what a byte costs, is judged at once, in 20 ms at the worst; a larger one in a thread."""
MOST_JUDGES = 2
"""Threads that judge, so that they neither wait for other users of trio's threads nor keep those waiting."""

_judges: RunVar[trio.CapacityLimiter] = RunVar("judges")


@lru_cache(maxsize=1000)
def expand(codes: tuple[int | str, ...]) -> frozenset[int]:
    """The status codes that a list of codes and ranges names.

    One object for equal lists: a set of a hundred codes is 8 kB, and nearly all monitors expect the same.
    """
    expanded: set[int] = set()
    for code in codes:
        if isinstance(code, int):
            expanded.add(code)
        else:
            first, _, last = code.partition("-")
            expanded.update(range(int(first), int(last) + 1))
    return frozenset(expanded)


class HttpProbe(Probe):
    """A prepared check of one monitor: what can be computed once is."""

    __slots__ = (
        "_assertion", "_certificates", "_degraded_after", "_expected", "_expected_headers", "_kept", "_max_redirects",
        "_network", "_request", "_wanted",
    )  # fmt: skip

    def __init__(self, monitor: HttpMonitor, network: Network) -> None:
        self._network = network
        self._expected = expand(monitor.expected_status_codes)
        self._expected_headers = {
            name.lower().encode(): (name, value.strip()) for name, value in monitor.expected_headers.items()
        }
        self._assertion = _assertion_of(monitor)
        self._degraded_after = monitor.degraded_after
        self._max_redirects = monitor.max_redirects
        self._wanted = Wanted(
            monitor.max_body_bytes,
            _names(frozenset(self._expected_headers), with_body=self._assertion is not None),
            self._assertion is not None,
            monitor.check_cert_expiry,
            monitor.ip_version,
            monitor.max_redirects > 0,
        )
        self._certificates = CertificateReader() if monitor.check_cert_expiry else None
        self._request = _request_of(monitor)
        self._kept = KeptConnection() if monitor.keep_alive else None

    async def __call__(self, trace: Trace) -> Outcome:
        """Check once. A failing target is an outcome, never an exception."""
        shown: list[bytes] = []
        try:
            answer = await self._final_answer(trace, shown)
        except Failed as failure:
            return failed(failure, trace)
        response_ms, phases = trace.finish()
        certificate, note = None, ""
        if self._certificates is not None and shown:
            certificate, note = _read(self._certificates, shown)
        code = answer.status_code
        problem = self._problem_in_header(answer)
        if problem is None and self._assertion is not None:
            trace.enter(JUDGE)
            problem = await self._problem_in_body(answer, self._assertion)
        if problem is not None:
            return Outcome(Status.DOWN, problem.message, problem.reason, response_ms, code, phases, certificate)
        message = plain_message(code)
        if self._degraded_after is not None and response_ms > self._degraded_after:
            message += f"; slow: {response_ms} ms, more than {self._degraded_after} ms"
        return Outcome(Status.UP, message + note, None, response_ms, code, phases, certificate)

    def close(self) -> None:
        """Let go of the connection that was kept for the next check; never blocks."""
        if self._kept is not None:
            self._kept.close()

    async def _final_answer(self, trace: Trace, shown: list[bytes]) -> Answer:
        request, kept = self._request, self._kept
        for _ in range(self._max_redirects + 1):
            answer = await exchange(request, self._network, trace, self._wanted, kept)
            if answer.certificate is not None:
                shown.append(answer.certificate)
            if (location := answer.leads_to) is None:
                return answer
            request, kept = follow(request, answer.status_code, location), None
        raise Failed(Status.DOWN, "too_many_redirects", f"More than {self._max_redirects} redirects")

    def _problem_in_header(self, answer: Answer) -> http_body.Problem | None:
        code = answer.status_code
        if code not in self._expected:
            return http_body.Problem("status_code", f"Unexpected status code: {code} {plain_message(code)}")
        for lowered, (name, expected) in self._expected_headers.items():
            value = answer.headers.get(lowered)
            if value is None:
                return http_body.Problem("header_missing", f"The answer has no header {name}")
            if value != expected:
                return http_body.Problem("header_value", f"The header {name} is {value!r}, expected {expected!r}")
        return None

    async def _problem_in_body(self, answer: Answer, assertion: http_body.Assertion) -> http_body.Problem | None:
        judge = partial(http_body.problem_in, answer, assertion, self._wanted.max_body)
        if len(answer.body) * assertion.cost <= INLINE_WORK and b"content-encoding" not in answer.headers:
            return judge()
        # It ends soon, whether waited for or not.
        return await trio.to_thread.run_sync(judge, abandon_on_cancel=True, limiter=judges())


def judges() -> trio.CapacityLimiter:
    """The threads that judge; one pool for each event loop."""
    try:
        return _judges.get()
    except LookupError:
        limiter = trio.CapacityLimiter(MOST_JUDGES)
        _judges.set(limiter)
        return limiter


def _assertion_of(monitor: HttpMonitor) -> http_body.Assertion | None:
    if monitor.keyword is None and monitor.json_query is None:
        return None
    path = None if monitor.json_query is None else http_json.compile_path(monitor.json_query)
    return http_body.Assertion(
        monitor.keyword,
        monitor.invert_keyword,
        path,
        monitor.json_condition or "==",
        http_json.expected_of("" if monitor.expected_value is None else monitor.expected_value),
        1 if path is None else http_json.cost_of(path),
    )


@lru_cache(maxsize=100)  # one object for equal sets, as above
def _names(expected: frozenset[bytes], *, with_body: bool) -> frozenset[bytes]:
    return expected | http_body.HEADERS if with_body else expected


def _request_of(monitor: HttpMonitor) -> Request:
    headers = dict(PLAIN_HEADERS)
    if monitor.keyword is not None or monitor.json_query is not None:
        headers["Accept-Encoding"] = http_body.ACCEPTED
    if monitor.auth_method == "basic":  # RFC 7617
        pair = f"{monitor.basic_auth_user}:{monitor.basic_auth_pass or ''}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    elif monitor.auth_method == "bearer":
        headers["Authorization"] = f"Bearer {monitor.bearer_token}"
    given = {name.lower() for name in monitor.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in given} | monitor.headers
    if headers == PLAIN_HEADERS:
        headers = PLAIN_HEADERS  # one object for nearly all monitors
    body = b"" if monitor.body is None else monitor.body.encode()
    return Request(
        monitor.method,
        monitor.url,
        headers,
        body,
        monitor.tls,
        secret=secret_headers(monitor.secret_headers),
        keep_alive=monitor.keep_alive,
    )


def _read(reader: CertificateReader, shown: list[bytes]) -> tuple[Certificate | None, str]:
    """The certificate that ends first, where redirects led past several, and what to say of it: nothing while there is time.

    By this host's clock, as TLS itself goes by: an engine's own clock may be a test's.
    """
    try:
        certificate = reader.first_to_end(shown)
    except ValueError as error:  # TLS was content with it, we need not be stricter
        return None, f"; the certificate cannot be read: {error}"
    days = certificate.days_left(utc_ms())
    if days < 0:
        return certificate, "; certificate has expired"  # nobody verified it
    soon = days < EXPIRES_SOON_DAYS
    return certificate, f"; certificate expires in {days} day{'' if days == 1 else 's'}" if soon else ""
