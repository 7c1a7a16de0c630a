"""How a channel wants to be told, whatever its kind: the fields beside `config`."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from peekaping.engine.alerts.message import Severity
from peekaping.engine.clock import DAY_MS, MINUTE_MS
from peekaping.engine.fields import Record, Rule, between, text_up_to

CERTIFICATE_DAYS = (21, 14, 7, 1)
"""Three weeks to plan, one to act, and a last call; what the services that renew by themselves have long passed by then."""


class QuietHours(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """When nothing is sent, by the clock of a time zone: what comes up is told at their end. They may span midnight."""

    from_: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = msgspec.field(name="from")
    to: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    timezone: str = "UTC"

    @property
    def start(self) -> time:
        return time.fromisoformat(self.from_)

    @property
    def end(self) -> time:
        return time.fromisoformat(self.to)


def _name_rule(name: str) -> str | None:
    if name.startswith("channel-") and name.removeprefix("channel-").isdecimal():
        return "must not look like an id: monitors name their channels by either"
    return text_up_to(100)(name)


def _quiet_hours_rule(hours: QuietHours) -> str | None:
    if hours.from_ == hours.to:
        return "must not begin when they end"
    try:
        ZoneInfo(hours.timezone)
    except (KeyError, OSError, ValueError):  # not found, a folder, and what can be no name of a file
        return "must name a time zone such as Europe/Berlin"
    return None


def _certificate_days_rule(days: tuple[int, ...]) -> str | None:
    if len(days) > 10 or any(not 0 <= day <= 365 for day in days):
        return "must be at most 10 whole numbers between 0 and 365"
    return None


class ChannelSettings(Record, frozen=True, kw_only=True, gc=False, rename="camel", tag="any"):
    """What users set of a channel of any kind."""

    name: Annotated[str, Meta(description="a text")]
    enabled: Annotated[bool, Meta(description="true or false")] = True
    min_severity: Annotated[Severity, Meta(description=f"one of: {', '.join(Severity)}")] = Severity.INFO
    """What matters less is not sent."""
    quiet_hours: Annotated[
        QuietHours | None, Meta(description='an object such as {"from": "22:00", "to": "07:00", "timezone": "UTC"}')
    ] = None
    reminder_every: Annotated[int | None, Meta(description="a whole number of milliseconds")] = None
    """How often to tell that a monitor is still down; None: not at all."""
    certificate_days: Annotated[tuple[int, ...], Meta(description="a list of whole numbers")] = CERTIFICATE_DAYS
    """With so many days left, or fewer, a certificate is told of, once for each."""

    rules: ClassVar[dict[str, Rule]] = {
        "name": _name_rule,
        "quiet_hours": _quiet_hours_rule,
        "reminder_every": between(MINUTE_MS, 7 * DAY_MS, " milliseconds"),
        "certificate_days": _certificate_days_rule,
    }


def shown_settings(settings: ChannelSettings) -> dict[str, Any]:
    """The fields as JSON knows them."""
    fields: dict[str, Any] = msgspec.to_builtins(settings)
    del fields["type"]
    return fields
