"""The calls of the SDK, each once: what it sends, and what it makes of the answer. Both clients have them as methods.

What goes in and comes out are dicts of the API's fields. A group is named as its path: `client.status_pages` is `/status-pages`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import IO, Any, Literal

from peekaping.administration import ApiKeys, Users, Workspaces
from peekaping.calls import Call, JsonObject, JsonObjects, Request
from peekaping.methods import Calls, Fields, Way, call, given, listed, nothing, one, path

Instant = datetime | date | str


class Monitors(Calls[Way]):
    """`client.monitors`: what is checked, and what was found."""

    @call
    def list(self, *, type: str | None = None, status: str | None = None) -> Call[JsonObjects]:
        """All monitors, oldest first; one request for each hundred."""
        return listed("/monitors", "monitors", {"type": type, "status": status})

    @call
    def create(self, monitor: Fields) -> Call[JsonObject]:
        """Create a monitor from the API's fields (`name`, `type`, `url`, ...); gives it back as the server keeps it."""
        return one("POST", "/monitors", monitor)

    @call
    def get(self, id: str) -> Call[JsonObject]:
        """The monitor with its status and its last check."""
        return one("GET", path("monitors", id))

    @call
    def update(self, id: str, changes: Fields) -> Call[JsonObject]:
        """Change the given fields and leave the others; gives back the whole monitor."""
        return one("PATCH", path("monitors", id), changes)

    @call
    def delete(self, id: str) -> Call[None]:
        """Delete the monitor and its history."""
        return nothing("DELETE", path("monitors", id))

    @call
    def pause(self, id: str) -> Call[JsonObject]:
        """Stop checking until `resume`; gives back the monitor."""
        return one("POST", path("monitors", id, "pause"))

    @call
    def resume(self, id: str) -> Call[JsonObject]:
        """Check again; gives back the monitor."""
        return one("POST", path("monitors", id, "resume"))

    @call
    def heartbeats(
        self, id: str, *, from_: Instant | None = None, to: Instant | None = None, limit: int | None = None
    ) -> Call[JsonObjects]:
        """The newest heartbeats with `from_ <= timestamp < to`, newest first; `limit` is the server's when None."""
        answer = yield Request("GET", path("monitors", id, "heartbeats"), {**_span(from_, to), "limit": limit})
        found: JsonObjects = answer["heartbeats"]
        return found

    @call
    def export(
        self,
        id: str,
        file: IO[bytes],
        *,
        format: Literal["csv", "json"] = "csv",
        from_: Instant | None = None,
        to: Instant | None = None,
    ) -> Call[None]:
        """Write all stored heartbeats with `from_ <= timestamp < to`, newest first, to a file that is open for writing bytes.

        They are written as they come, so memory does not grow with them. After an exception the file holds a part.
        """
        yield Request("GET", path("monitors", id, f"heartbeats.{format}"), _span(from_, to), into=file)

    @call
    def stats(self, id: str, period: str = "24h") -> Call[JsonObject]:
        """Uptime, response times and outages over `24h`, `7d`, `30d` or `90d`."""
        return one("GET", path("monitors", id, "stats"), params={"period": period})


class NotificationChannels(Calls[Way]):
    """`client.notification_channels`: where alerts go, and what was sent there."""

    @call
    def list(self) -> Call[JsonObjects]:
        """All channels, oldest first; secrets are masked."""
        return listed("/notification-channels", "channels")

    @call
    def create(self, channel: Fields) -> Call[JsonObject]:
        """Create a channel from the API's fields (`name`, `type`, `config`, ...)."""
        return one("POST", "/notification-channels", channel)

    @call
    def get(self, id: str) -> Call[JsonObject]:
        """The channel; secrets are masked."""
        return one("GET", path("notification-channels", id))

    @call
    def update(self, id: str, changes: Fields) -> Call[JsonObject]:
        """Change the given fields, of `config` too, and leave the others; a masked secret stays."""
        return one("PATCH", path("notification-channels", id), changes)

    @call
    def delete(self, id: str) -> Call[None]:
        """Delete the channel; what waits for it is not sent, and monitors do not name it any more."""
        return nothing("DELETE", path("notification-channels", id))

    @call
    def test(self, id: str) -> Call[JsonObject]:
        """Send a message now: `success`, and in `message` what the service said. The server takes up to 30 s for it, so the
        client's `timeout_s` is better longer."""
        return one("POST", path("notification-channels", id, "test"))

    @call
    def deliveries(self, id: str, *, limit: int | None = 100) -> Call[JsonObjects]:
        """What was sent to the channel and what waits, newest first; None is all."""
        return listed(path("notification-channels", id, "deliveries"), "deliveries", limit=limit)

    @call
    def redeliver(self, id: str, delivery: str) -> Call[JsonObject]:
        """Send a message again, with the same key; gives back the delivery."""
        return one("POST", path("notification-channels", id, "deliveries", delivery, "redeliver"))

    @call
    def preview(self, template: str, *, event: str = "monitor.down") -> Call[str]:
        """What a template makes of an example of the event."""
        body = {"template": template, "event": event}
        answer = yield Request("POST", "/notification-channels/preview", json=body)
        text: str = answer["text"]
        return text


class StatusPages(Calls[Way]):
    """`client.status_pages`: what everybody may see."""

    @call
    def list(self) -> Call[JsonObjects]:
        """All pages as those see them who keep them, unpublished ones too."""
        return listed("/status-pages", "statusPages")

    @call
    def create(self, page: Fields) -> Call[JsonObject]:
        """Create a page from the API's fields (`slug`, `title`, `monitors`, `published`, ...)."""
        return one("POST", "/status-pages", page)

    @call
    def get(self, slug: str) -> Call[JsonObject]:
        """A published page as everybody sees it: its monitors' statuses and uptimes, and the incidents."""
        return one("GET", path("status-pages", slug))

    @call
    def update(self, slug: str, changes: Fields) -> Call[JsonObject]:
        """Change the given fields, the slug too, and leave the others."""
        return one("PATCH", path("status-pages", slug), changes)

    @call
    def delete(self, slug: str) -> Call[None]:
        """Delete the page; its monitors stay."""
        return nothing("DELETE", path("status-pages", slug))


class Incidents(Calls[Way]):
    """`client.incidents`: trouble that people tell of, and trouble that monitors found."""

    @call
    def list(
        self, *, monitor: str | None = None, resolved: bool | None = None, limit: int | None = None
    ) -> Call[JsonObjects]:
        """The incidents, newest first: of one monitor, those that are over or that last, at most so many."""
        return listed("/incidents", "incidents", {"monitor": monitor, "resolved": resolved}, limit=limit)

    @call
    def create(self, incident: Fields) -> Call[JsonObject]:
        """Open an incident from the API's fields (`title`, `status`, `monitors`, ...)."""
        return one("POST", "/incidents", incident)

    @call
    def get(self, id: str) -> Call[JsonObject]:
        """The incident with its updates, the newest first."""
        return one("GET", path("incidents", id))

    @call
    def update(self, id: str, changes: Fields) -> Call[JsonObject]:
        """Change the given fields and leave the others."""
        return one("PATCH", path("incidents", id), changes)

    @call
    def add_update(self, id: str, message: str, *, status: str | None = None) -> Call[JsonObject]:
        """Say how it goes on, with another status or the one it has; gives back the incident."""
        return one("POST", path("incidents", id, "updates"), given(message=message, status=status))

    @call
    def delete(self, id: str) -> Call[None]:
        """Delete an incident that was made by hand; one that a monitor opened is refused (409)."""
        return nothing("DELETE", path("incidents", id))


class Server(Calls[Way]):
    """The calls of a client itself, and the groups of the others."""

    def __init__(self, run: Any) -> None:
        super().__init__(run)
        self.monitors: Monitors[Way] = Monitors(run)
        self.notification_channels: NotificationChannels[Way] = NotificationChannels(run)
        self.status_pages: StatusPages[Way] = StatusPages(run)
        self.incidents: Incidents[Way] = Incidents(run)
        self.users: Users[Way] = Users(run)
        self.api_keys: ApiKeys[Way] = ApiKeys(run)
        self.workspaces: Workspaces[Way] = Workspaces(run)

    @call
    def overview(self) -> Call[JsonObject]:
        """Counts, checks and uptime over all monitors."""
        return one("GET", "/stats/overview")

    @call
    def push(
        self, push_id: str, *, status: str = "up", message: str | None = None, ping: float | None = None
    ) -> Call[JsonObject]:
        """Send the heartbeat of a push monitor (`ping` in ms); needs no login, the id is the secret."""
        return one("POST", path("push", push_id), given(status=status, message=message, ping=ping))

    @call
    def me(self) -> Call[JsonObject]:
        """Who the client is logged in as, or whose API key it has."""
        return one("GET", "/auth/me")

    @call
    def audit_log(self, *, limit: int | None = 100) -> Call[JsonObjects]:
        """Who changed what, newest first, for administrators; None is all there is, up to a year."""
        return listed("/audit-log", "entries", limit=limit)


def _span(from_: Instant | None, to: Instant | None) -> dict[str, str | int | None]:
    return {"from": _instant(from_), "to": _instant(to)}


def _instant(value: Instant | None) -> str | None:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("a datetime needs a time zone, such as datetime.now(UTC)")
    return value.isoformat() if isinstance(value, date) else value
