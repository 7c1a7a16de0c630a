"""What is to be told: one message for each event, made from values by `compose`, several made into one by `grouped`.

A message is stored with the transition that caused it, so it holds all that a channel needs: the monitor may be gone when it
is sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from peekaping.engine.certificate import Certificate
from peekaping.engine.monitor import Monitor
from peekaping.engine.records import Entry, Heartbeat, iso

MOST_LISTED = 50
"""How many monitors one message for many names; what chat services take is about 4,000 characters."""


class Event(StrEnum):
    """What happened."""

    DOWN = "monitor.down"
    UP = "monitor.up"
    REMINDER = "monitor.reminder"
    """Still down."""
    CERTIFICATE = "certificate.expiring"
    CREATED = "monitor.created"
    UPDATED = "monitor.updated"
    DELETED = "monitor.deleted"
    HEARTBEAT = "heartbeat.received"
    """A push monitor was told something."""
    TEST = "test"


class Severity(StrEnum):
    """How much it matters, the worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


SEVERITIES = {Event.DOWN: Severity.CRITICAL, Event.REMINDER: Severity.CRITICAL, Event.CERTIFICATE: Severity.WARNING}
"""All others are INFO."""


class MonitorFacts(msgspec.Struct, frozen=True, gc=False):
    """What is told of a monitor."""

    id: str
    name: str
    url: str | None
    """Its address; for kinds without one what comes nearest, such as `tcp://db:5432`; None for push."""
    type: str


class HeartbeatFacts(msgspec.Struct, frozen=True, gc=False):
    """What is told of a check."""

    status: str
    message: str
    response_ms: int | None
    at: int


class Message(msgspec.Struct, frozen=True):
    """One message. Encoded and decoded by `msgspec.json` as it is."""

    event: Event
    key: str
    """The idempotency key: the same for every try to send it."""
    at: int
    severity: Severity
    title: str
    """One line without an end."""
    text: str
    monitor: MonitorFacts | None = None
    heartbeat: HeartbeatFacts | None = None
    certificate: Certificate | None = None
    items: tuple[Message, ...] = ()
    """The messages that are told in this one."""

    @property
    def subject(self) -> str:
        """What this is about, the same for a failure and its recovery: how services tell which alert ends."""
        if self.monitor is None:
            return f"peekaping/{self.key}"
        return f"peekaping/{self.monitor.id}" + ("/certificate" if self.event is Event.CERTIFICATE else "")


def compose(
    event: Event,
    *,
    key: str,
    at: int,
    entry: Entry | None = None,
    heartbeat: Heartbeat | None = None,
    certificate: Certificate | None = None,
    down_since: int | None = None,
) -> Message:
    """The message of one event. Events of monitors need `entry`, `Event.CERTIFICATE` the certificate too.

    Args:
      key: the idempotency key.
      at: when it happened.
      down_since: for UP and REMINDER, when the outage began, where that is known.
    """
    if event is Event.TEST:
        return _test(key, at)
    assert entry is not None, "all other events are a monitor's"
    name = entry.monitor.name
    said = heartbeat.message if heartbeat is not None else ""
    lasted = span(at - down_since) if down_since is not None else None
    match event:
        case Event.DOWN:
            title, text = f"{name} is down", said
        case Event.UP:
            title, text = f"{name} is up again", said if lasted is None else f"{said or 'Up'}, after {lasted}"
        case Event.REMINDER:
            title, text = f"{name} is still down", said if lasted is None else f"For {lasted}: {said}"
        case Event.CERTIFICATE:
            assert certificate is not None, "it is about one"
            title, text = _ending(name, certificate, at)
        case Event.HEARTBEAT:
            title, text = f"{name} reported {heartbeat.status if heartbeat is not None else 'in'}", said
        case _:
            title, text = f"{name} was {event.rpartition('.')[2]}", ""
    return Message(
        event,
        key,
        at,
        SEVERITIES.get(event, Severity.INFO),
        _line(title),
        text,
        facts_of(entry),
        _told(heartbeat),
        certificate,
    )


def grouped(messages: Sequence[Message], *, key: str, at: int) -> Message:
    """One message that tells all of these, at least one, in their order. Its title says how it ended for each monitor; its event
    and severity are those of the worst of these ends."""
    order = list(Severity)
    last = {message.subject: message for message in messages}.values()
    worst = min(last, key=lambda message: order.index(message.severity))
    counts = Counter(message.event for message in last)
    title = ", ".join(_counted(event, counts[event]) for event in Event if counts[event])
    lines = [
        f"{message.title}: {message.text}" if message.text else message.title for message in messages[:MOST_LISTED]
    ]
    if len(messages) > MOST_LISTED:
        lines.append(f"… and {len(messages) - MOST_LISTED} more")
    return Message(worst.event, key, at, worst.severity, title, "\n".join(lines), items=tuple(messages))


def facts_of(entry: Entry) -> MonitorFacts:
    """What is told of this monitor."""
    return MonitorFacts(entry.id, entry.monitor.name, _address(entry.monitor), entry.monitor.kind)


def shown_facts(message: Message) -> dict[str, dict[str, Any] | None]:
    """The monitor, the heartbeat and the certificate of a message, as programs and templates are told of them."""
    monitor, heartbeat, certificate = message.monitor, message.heartbeat, message.certificate
    return {
        "monitor": None if monitor is None else msgspec.structs.asdict(monitor),
        "heartbeat": None
        if heartbeat is None
        else {
            "status": heartbeat.status,
            "message": heartbeat.message,
            "responseTime": heartbeat.response_ms,
            "timestamp": iso(heartbeat.at),
        },
        "certificate": None
        if certificate is None
        else {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "notAfter": iso(certificate.not_after_ms),
            "daysLeft": certificate.days_left(message.at),
        },
    }


def span(ms: int) -> str:
    """A span for people, in its two largest units: `3 days 4 h`, `2 min 5 s`."""
    left, parts = max(0, ms // 1000), []
    for seconds, unit in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count} {'day' if unit == 'days' and count == 1 else unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def _test(key: str, at: int) -> Message:
    """A test shows what an alert will look like, so it has a monitor and a heartbeat, made up."""
    monitor = MonitorFacts("monitor-0", "Test", "https://example.com", "http")
    heartbeat = HeartbeatFacts("up", "This channel works", 123, at)
    return Message(Event.TEST, key, at, Severity.INFO, "Peekaping test", "This channel works", monitor, heartbeat)


def _ending(name: str, certificate: Certificate, at: int) -> tuple[str, str]:
    days = certificate.days_left(at)
    when = "has ended" if days < 0 else "ends today" if days == 0 else f"ends in {days} day{'s' * (days != 1)}"
    whose = certificate.subject or ", ".join(certificate.names[:3])
    return f"The certificate of {name} {when}", f"{whose}, issued by {certificate.issuer}"


_COUNTED = {
    Event.DOWN: ("is", "are", "down"),
    Event.UP: ("is", "are", "up again"),
    Event.REMINDER: ("is", "are", "still down"),
    Event.CERTIFICATE: ("has", "have", "a certificate that ends"),
    Event.HEARTBEAT: ("has", "have", "reported"),
}


def _counted(event: Event, count: int) -> str:
    one, many, what = _COUNTED.get(event, ("was", "were", event.rpartition(".")[2]))
    return f"{count} monitor{'s' * (count != 1)} {one if count == 1 else many} {what}"


def _told(heartbeat: Heartbeat | None) -> HeartbeatFacts | None:
    if heartbeat is None:
        return None
    return HeartbeatFacts(heartbeat.status, heartbeat.message, heartbeat.response_ms, heartbeat.at)


def _address(monitor: Monitor) -> str | None:
    fields: dict[str, Any] = msgspec.structs.asdict(monitor)
    host, port = fields.get("host"), fields.get("port")
    if fields.get("url") is not None or host is None:
        return fields.get("url")
    host = f"[{host}]" if ":" in host else host
    return f"{monitor.kind}://{host}" + (f":{port}" if port is not None else "")


def _line(text: str) -> str:
    return " ".join(text.split())
