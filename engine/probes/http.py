"""Monitors of HTTP and HTTPS: what may be asked for. `http_probe.py` does it.

The other `http_` files hold an idea each: what a field may hold, the request and its redirects, the exchange, what the body says;
`http2.py` the exchange in HTTP/2.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from msgspec import Meta, field

from peekaping.engine.clock import DAY_MS
from peekaping.engine.fields import Errors, Rule, between, text_up_to
from peekaping.engine.monitor import Monitor
from peekaping.engine.net.tls import DEFAULT_TLS, Tls
from peekaping.engine.probes import http_json, http_rules
from peekaping.engine.probes.shared import Flag, IpVersion, Pem, WholeNumber, ca_rule, tls_problem

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
AuthMethod = Literal["none", "basic", "bearer", "mtls"]
HttpVersion = Literal["1.1", "2"]
Text = Annotated[str | None, Meta(description="a text")]
Texts = Annotated[dict[str, str], Meta(description="an object of texts")]

MOST_REDIRECTS = 50
LONGEST_KEYWORD = 1000
LARGEST_BODY = 64 * 1024 * 1024
LARGEST_JSON = 1024 * 1024
"""Parsing JSON holds up everything else, in a thread as well: for 40 ms a MiB at the worst."""


class HttpMonitor(Monitor, frozen=True, kw_only=True, gc=False, rename="camel", tag="http"):
    """Up when the last answer has an expected status code, arrives whole and says what it should, within `timeout`."""

    url: Annotated[str, Meta(description="a text such as https://example.com/health")]
    method: Annotated[Method, Meta(description=f"one of {', '.join(get_args(Method))}")] = "GET"
    headers: Texts = field(default_factory=dict)
    secret_headers: Annotated[tuple[str, ...], Meta(description="a list of header names")] = ()
    body: Text = None
    expected_status_codes: Annotated[
        tuple[int | str, ...], Meta(description='a list of codes and ranges such as 200 or "200-299"')
    ] = ("200-299",)
    expected_headers: Texts = field(default_factory=dict)
    keyword: Text = None
    invert_keyword: Flag = False
    json_query: Annotated[str | None, Meta(description="a JSONPath such as $.status")] = None
    json_condition: Annotated[
        http_json.Condition | None, Meta(description=f"one of {', '.join(get_args(http_json.Condition))}")
    ] = None
    expected_value: Annotated[str | int | float | bool | None, Meta(description="a text, a number, true or false")] = (
        None
    )
    degraded_after: Annotated[int | None, Meta(description="a whole number of milliseconds")] = None
    max_redirects: WholeNumber = 10
    max_body_bytes: Annotated[int, Meta(description="a whole number of bytes")] = 1024 * 1024
    auth_method: Annotated[AuthMethod, Meta(description=f"one of {', '.join(get_args(AuthMethod))}")] = "none"
    basic_auth_user: Text = None
    basic_auth_pass: Text = None
    bearer_token: Text = None
    tls_cert: Pem = None
    tls_key: Pem = None
    tls_ca: Pem = None
    ignore_tls_errors: Flag = False
    check_cert_expiry: Flag = False
    ip_version: IpVersion = None
    keep_alive: Flag = False
    http_version: Annotated[HttpVersion, Meta(description=f"one of {', '.join(get_args(HttpVersion))}, as a text")] = (
        "1.1"
    )

    rules: ClassVar[dict[str, Rule]] = {
        **Monitor.rules,
        "url": http_rules.url_rule,
        "headers": http_rules.headers_rule,
        "expected_status_codes": http_rules.codes_rule,
        "expected_headers": http_rules.expected_headers_rule,
        "keyword": text_up_to(LONGEST_KEYWORD),
        "json_query": http_json.path_rule,
        "expected_value": http_json.expected_rule,
        "degraded_after": between(1, DAY_MS, " milliseconds"),
        "max_redirects": between(0, MOST_REDIRECTS),
        "max_body_bytes": between(0, LARGEST_BODY, " bytes"),
        "basic_auth_user": http_rules.user_rule,
        "basic_auth_pass": http_rules.password_rule,
        "bearer_token": http_rules.bearer_rule,
        "tls_ca": ca_rule,
    }
    secrets: ClassVar[frozenset[str]] = frozenset({"basicAuthPass", "bearerToken", "tlsKey"})

    def check_together(self) -> Errors:
        return super().check_together() | self._assertion_errors() | self._authentication_errors()

    @property
    def tls(self) -> Tls:
        """How to shake hands with this target."""
        shows = self.auth_method == "mtls"
        tls = Tls(
            verify=not self.ignore_tls_errors,
            ca=self.tls_ca,
            certificate=self.tls_cert if shows else None,
            key=self.tls_key if shows else None,
            protocols=("h2", "http/1.1") if self.http_version == "2" else (),
        )
        return DEFAULT_TLS if tls == DEFAULT_TLS else tls  # one object for nearly all monitors

    def _assertion_errors(self) -> Errors:
        errors: Errors = {}
        if self.keyword is None and self.invert_keyword:
            errors["keyword"] = ["Keyword is required with invertKeyword"]
        if self.json_query is None:
            if self.json_condition is not None:
                errors["jsonCondition"] = ["JSON condition must not be set without jsonQuery"]
            if self.expected_value is not None:
                errors["expectedValue"] = ["Expected value must not be set without jsonQuery"]
        elif self.max_body_bytes > LARGEST_JSON:
            errors["maxBodyBytes"] = [f"Max body bytes must be at most {LARGEST_JSON} with jsonQuery"]
        elif self.expected_value is None:
            errors["expectedValue"] = ["Expected value is required with jsonQuery"]
        elif self.json_condition in ("<", "<=", ">", ">=") and http_json.number_in(self.expected_value) is None:
            errors["expectedValue"] = [f"Expected value must be a number to compare by {self.json_condition}"]
        if self.method == "HEAD":
            if self.keyword is not None:
                errors["keyword"] = ["Keyword needs a body; the answer to a HEAD request has none"]
            if self.json_query is not None:
                errors["jsonQuery"] = ["JSON query needs a body; the answer to a HEAD request has none"]
        return errors

    def _authentication_errors(self) -> Errors:
        needed: dict[str, list[tuple[str, str, str | None]]] = {
            "none": [],
            "basic": [("basicAuthUser", "Basic auth user", self.basic_auth_user)],
            "bearer": [("bearerToken", "Bearer token", self.bearer_token)],
            "mtls": [("tlsCert", "TLS cert", self.tls_cert), ("tlsKey", "TLS key", self.tls_key)],
        }
        errors: Errors = {
            name: [f"{label} is required with authMethod {self.auth_method}"]
            for name, label, value in needed[self.auth_method]
            if not value
        }
        if self.auth_method in ("basic", "bearer") and any(name.lower() == "authorization" for name in self.headers):
            errors["headers"] = [f"Headers must not set Authorization with authMethod {self.auth_method}"]
        if self.auth_method == "mtls" and not errors:
            pair = Tls(verify=not self.ignore_tls_errors, certificate=self.tls_cert, key=self.tls_key)
            problem = tls_problem(pair)
            if problem is not None:
                errors["tlsCert"] = [f"TLS cert and key {problem}"]
        return errors
