"""What a monitor is: the fields all kinds share (see `fields.py` for how input becomes one).

A kind (`probes/http.py`, `probes/push.py`) adds its fields by subclassing `Monitor` and its rules by extending `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from peekaping.engine.clock import DAY_MS, MINUTE_MS
from peekaping.engine.fields import Errors, Record, Rule, between, parse_fields, shown_fields, text_up_to

DEFAULT_INTERVAL_MS = MINUTE_MS
DEFAULT_TIMEOUT_MS = 30_000
MOST_CHANNELS = 50
HEADING = "Invalid monitor configuration"


class Notifications(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Whom a monitor tells."""

    enabled: bool = True
    channels: tuple[str, ...] = ()
    """Ids; who makes or changes a monitor may give names as well."""


class Monitor(Record, frozen=True, kw_only=True, gc=False, rename="camel"):
    """The fields of every kind. Spans are milliseconds (`docs/monitors.md` lists them with their defaults)."""

    name: Annotated[str, Meta(description="a text")]
    interval: Annotated[int, Meta(description="a whole number of milliseconds")] = DEFAULT_INTERVAL_MS
    timeout: Annotated[int | None, Meta(description="a whole number of milliseconds")] = None
    retries: Annotated[int, Meta(description="a whole number")] = 0
    retry_interval: Annotated[int | None, Meta(description="a whole number of milliseconds")] = None
    notifications: Annotated[Notifications, Meta(description='an object such as {"enabled": true, "channels": []}')] = (
        msgspec.field(default_factory=Notifications)
    )

    rules: ClassVar[dict[str, Rule]] = {
        "name": text_up_to(200),
        "timeout": between(100, DAY_MS, " milliseconds"),
        "retries": between(0, 1000),
    }

    @property
    def timeout_ms(self) -> int:
        """One budget for a whole check. By default 30 s, or the interval where that is shorter."""
        return self.timeout if self.timeout is not None else min(DEFAULT_TIMEOUT_MS, self.interval)

    @property
    def retry_interval_ms(self) -> int:
        return self.retry_interval if self.retry_interval is not None else self.interval

    @property
    def hold_ms(self) -> int:
        """How long a heartbeat speaks for the target when no other follows: beyond it nobody was watching.

        The interval, the longest check, and a second for our own lateness.
        """
        return max(self.interval, self.retry_interval_ms) + self.timeout_ms + 1000

    def computed(self) -> dict[str, int]:
        """Fields whose default depends on others, as they are in force."""
        return {"timeout": self.timeout_ms}

    def check_together(self) -> Errors:
        """See `Record.check_together`."""
        if self.timeout is not None and self.timeout > self.interval:
            return {"timeout": ["Timeout must not be longer than the interval"]}
        return {}


def parse(
    kind: type[Monitor], data: Mapping[str, Any], *, min_interval_ms: int, channels: Rule | None = None
) -> Monitor:
    """Make a monitor of `kind` from camelCase fields, without `type`. `channels` is the rule for `notifications`.

    Raises:
      Invalid: with all wrong fields at once.
    """
    interval = _interval_rule(min_interval_ms)
    more_rules = {"interval": interval, "retry_interval": interval}
    if channels is not None:
        more_rules["notifications"] = channels
    return parse_fields(kind, data, thing="monitor", heading=HEADING, more_rules=more_rules)


def fields_of(monitor: Monitor) -> dict[str, Any]:
    """The monitor's fields as JSON knows them, without those left at "none", and with its secrets masked."""
    return shown_fields(monitor, monitor.computed())


def _interval_rule(min_interval_ms: int) -> Rule:
    def rule(value: int) -> str | None:
        if value < min_interval_ms:
            least = f"{min_interval_ms / 1000:g} seconds" if min_interval_ms != 1000 else "1 second"
            return f"must be at least {least}{'' if value >= 1000 else '; it is given in milliseconds'}"
        return None if value <= 366 * DAY_MS else "must be at most 366 days"

    return rule
