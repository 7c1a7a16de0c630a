"""The kinds of monitors. A kind is one file here, and one line in the registry below.

Modules import each other from the top of this list to its end:

    http_probe   one check of an HTTP monitor
    http, dns, ping, push, tcp, tls, websocket   a kind each: what may be asked for, and its check unless that is `http_probe`
    http_exchange, http2   one request and its answer, over HTTP/1.1 or HTTP/2
    http_kept    the connection that is kept from one check to the next
    http_body, http_json   what the body must say
    http_answer  an answer as it is parsed
    http_request   what is asked, and what a redirect makes of it
    http_rules   what the fields of HTTP may hold
    shared       what several kinds share
    probe        what every kind of check is
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Union

import msgspec

from peekaping.engine.errors import Invalid
from peekaping.engine.fields import Rule
from peekaping.engine.monitor import HEADING, Monitor, parse
from peekaping.engine.net.network import Network
from peekaping.engine.probes.dns import DnsMonitor, DnsProbe
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.probes.http_probe import HttpProbe
from peekaping.engine.probes.ping import PingMonitor, PingProbe
from peekaping.engine.probes.probe import Probe, Unprepared
from peekaping.engine.probes.push import PushMonitor
from peekaping.engine.probes.tcp import TcpMonitor, TcpProbe
from peekaping.engine.probes.tls import TlsMonitor, TlsProbe
from peekaping.engine.probes.websocket import WebsocketMonitor, WebsocketProbe

KINDS: dict[str, tuple[type[Monitor], Callable[[Any, Network], Probe] | None]] = {
    # what users call it -> its fields, and what prepares its check (None: it is told, see `Runtime._listen`)
    "http": (HttpMonitor, HttpProbe),
    "tcp": (TcpMonitor, TcpProbe),
    "ping": (PingMonitor, PingProbe),
    "dns": (DnsMonitor, DnsProbe),
    "tls": (TlsMonitor, TlsProbe),
    "websocket": (WebsocketMonitor, WebsocketProbe),
    "push": (PushMonitor, None),
}
_decoder: msgspec.json.Decoder[Monitor] = msgspec.json.Decoder(Union[tuple(kind for kind, _ in KINDS.values())])  # noqa: UP007 (computed)


def decode_monitor(definition: str | bytes) -> Monitor:
    """A monitor from the JSON that `msgspec.json.encode` made of it."""
    return _decoder.decode(definition)


def prepare(monitor: Monitor, network: Network) -> Probe:
    """The check of this monitor; never fails: what cannot be prepared is a check that fails by our fault."""
    make = KINDS[monitor.kind][1]
    assert make is not None, "a monitor that is told has no check"
    try:
        return make(monitor, network)
    except Exception as error:  # it may be stored by a version that took what this one refuses
        return Unprepared(error)


def parse_monitor(data: Mapping[str, Any], *, min_interval_ms: int, channels: Rule | None = None) -> Monitor:
    """Make a monitor from camelCase fields, `type` among them. `channels` is the rule for `notifications`.

    Raises:
      Invalid: with all wrong fields at once.
    """
    fields = dict(data)
    kind = fields.pop("type", None)
    if isinstance(kind, str) and kind in KINDS:
        return parse(KINDS[kind][0], fields, min_interval_ms=min_interval_ms, channels=channels)
    errors = {"type": ["Type is required" if kind is None else f"Type must be one of: {', '.join(KINDS)}"]}
    of_every_kind = {field.encode_name for field in msgspec.structs.fields(Monitor)}
    try:
        known = {name: value for name, value in fields.items() if name in of_every_kind}
        parse(Monitor, known, min_interval_ms=min_interval_ms, channels=channels)
    except Invalid as invalid:
        errors |= invalid.errors
    raise Invalid(HEADING, errors)
