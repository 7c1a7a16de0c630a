"""/notification-channels: where monitors tell, what was sent there, and trying it out."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, TypedDict

from msgspec import UNSET, Meta, Struct, UnsetType, field
from quart import Blueprint, Response

from peekaping.api import gate
from peekaping.api.bodies import json_object, query, read
from peekaping.api.channel_models import NewChannel
from peekaping.api.describe import READ, WRITE, described
from peekaping.api.errors import too_many
from peekaping.api.listing import Listing
from peekaping.api.record_models import Ignored
from peekaping.api.shapes import PaginationShape, Time, nothing, reply
from peekaping.engine.alerts.channels import CHANNELS, shown_config
from peekaping.engine.alerts.delivery import ChannelEntry, Delivery, State
from peekaping.engine.alerts.message import Event, Message, Severity, compose
from peekaping.engine.alerts.settings import QuietHours, shown_settings
from peekaping.engine.alerts.templates import preview
from peekaping.engine.engine import Engine
from peekaping.engine.probes.http import HttpMonitor
from peekaping.engine.records import Entry, Heartbeat, Status, iso, monitor_id

ChannelType = Annotated[str, Meta(extra_json_schema={"enum": list(CHANNELS)})]
Config = Annotated[
    dict[str, Any], Meta(description="the fields of its type, see docs/channels.md; secrets are shown masked")
]
ReminderEvery = Annotated[int, Meta(description="milliseconds between two reminders that a monitor is still down")]
CertificateDays = Annotated[
    tuple[int, ...], Meta(description="with so many days left, or fewer, a certificate is told of")
]
TESTS_AT_ONCE = 4
"""Of one user. Each may last a minute, and takes a process or a thread from the alerts, of which there are few."""


class ChannelChanges(Struct, kw_only=True, forbid_unknown_fields=True):
    name: str | UnsetType = UNSET
    type: ChannelType | UnsetType = UNSET
    config: Config | UnsetType = UNSET
    enabled: bool | UnsetType | None = UNSET
    min_severity: Severity | UnsetType | None = field(name="minSeverity", default=UNSET)
    quiet_hours: QuietHours | UnsetType | None = field(name="quietHours", default=UNSET)
    reminder_every: ReminderEvery | UnsetType | None = field(name="reminderEvery", default=UNSET)
    certificate_days: CertificateDays | UnsetType | None = field(name="certificateDays", default=UNSET)
    id: Ignored = UNSET
    created_at: Ignored = field(name="createdAt", default=UNSET)
    updated_at: Ignored = field(name="updatedAt", default=UNSET)


class Preview(Struct):
    template: str
    event: Literal["monitor.down", "monitor.up", "monitor.reminder", "test"] = "monitor.down"


QuietHoursShape = TypedDict("QuietHoursShape", {"from": str, "to": str, "timezone": str})


class ChannelShape(TypedDict):
    id: str
    name: str
    type: ChannelType
    enabled: bool
    config: Config
    minSeverity: Severity
    quietHours: QuietHoursShape | None
    reminderEvery: ReminderEvery | None
    certificateDays: CertificateDays
    createdAt: Time
    updatedAt: Time


class ChannelsShape(TypedDict):
    channels: list[ChannelShape]
    pagination: PaginationShape


class DeliveryShape(TypedDict):
    id: str
    event: Event
    monitorId: str
    title: str
    key: Annotated[str, Meta(description="the idempotency key, the same for every try")]
    status: State
    tries: int
    message: Annotated[str | None, Meta(description="what came of the last try")]
    createdAt: Time
    nextTryAt: Time | None
    finishedAt: Time | None


class DeliveriesShape(TypedDict):
    deliveries: list[DeliveryShape]
    pagination: PaginationShape


class TestShape(TypedDict):
    success: bool
    message: Annotated[str, Meta(description="what the service said, or why it could not be asked")]


class PreviewShape(TypedDict):
    text: str


def routes(engine: Engine) -> Blueprint:
    blueprint = Blueprint("channels", __name__)
    channels = engine.channels
    testing: Counter[int] = Counter()

    @blueprint.get("/notification-channels")
    @described("List the notification channels", needs=READ, query=Listing, answers={200: ChannelsShape})
    async def show_all() -> Response:
        asked, found = query(Listing), channels.all(_workspace())
        shown = [channel_shape(entry) for entry in found[asked.first : asked.first + asked.limit]]
        return reply({"channels": shown, "pagination": asked.pages(len(found))})

    @blueprint.post("/notification-channels")
    @described(
        "Create a notification channel", needs=WRITE, body=NewChannel, answers={201: ChannelShape}, errors=(409,)
    )
    async def create() -> Response:
        return reply(channel_shape(await channels.add(await json_object(), _workspace())), 201)

    @blueprint.post("/notification-channels/preview")
    @described("See what a template makes of a message", needs=WRITE, body=Preview, answers={200: PreviewShape})
    async def show_preview() -> Response:
        asked = read(Preview, await json_object(), "Invalid template")
        return reply({"text": preview(asked.template, _sample(Event(asked.event)))})

    @blueprint.get("/notification-channels/<id>")
    @described("Show a notification channel", needs=READ, answers={200: ChannelShape})
    async def show(id: str) -> Response:
        return reply(channel_shape(channels.get(id, _workspace())))

    @blueprint.route("/notification-channels/<id>", methods=["PUT", "PATCH"])
    @described(
        "Change a notification channel", needs=WRITE, body=ChannelChanges, answers={200: ChannelShape}, errors=(409,)
    )
    async def change(id: str) -> Response:
        """Of `config` too only the fields that are given change. A secret that comes back masked stays, unless it would go to
        another destination."""
        return reply(channel_shape(await channels.update(id, await json_object(), _workspace())))

    @blueprint.delete("/notification-channels/<id>")
    @described("Delete a notification channel", needs=WRITE, answers={204: None})
    async def delete(id: str) -> Response:
        """What waits for it is not sent any more, and monitors do not name it any more."""
        await channels.delete(id, _workspace())
        return nothing()

    @blueprint.post("/notification-channels/<id>/test")
    @described("Test a notification channel", needs=WRITE, answers={200: TestShape})
    async def test(id: str) -> Response:
        """Sends a message, now, also where the channel is disabled. At most four tests of a user run at once."""
        user = gate.identity().user
        if testing[user] >= TESTS_AT_ONCE:
            raise too_many("Other tests of yours are still running", 1000)
        testing[user] += 1
        try:
            success, message = await channels.test(id, _workspace())
        finally:
            testing[user] -= 1
        return reply({"success": success, "message": message})

    @blueprint.get("/notification-channels/<id>/deliveries")
    @described("List what was sent, and is to be", needs=READ, query=Listing, answers={200: DeliveriesShape})
    async def deliveries(id: str) -> Response:
        """Newest first; what was sent or given up is kept for 30 days, what was pushed for one."""
        asked = query(Listing)
        total, found = await channels.deliveries(id, _workspace(), offset=asked.first, limit=asked.limit)
        return reply({"deliveries": [delivery_shape(one) for one in found], "pagination": asked.pages(total)})

    @blueprint.post("/notification-channels/<id>/deliveries/<delivery>/redeliver")
    @described("Send a message again", needs=WRITE, answers={200: DeliveryShape}, errors=(422,))
    async def redeliver(id: str, delivery: str) -> Response:
        """With the key that it had: a receiver that has it knows it."""
        return reply(delivery_shape(await channels.redeliver(id, delivery, _workspace())))

    return blueprint


def channel_shape(entry: ChannelEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "type": entry.channel.kind,
        **shown_settings(entry.settings),
        "config": shown_config(entry.channel),
        "createdAt": iso(entry.created_ms),
        "updatedAt": iso(entry.updated_ms),
    }


def delivery_shape(one: Delivery) -> DeliveryShape:
    return {
        "id": one.id,
        "event": one.event,
        "monitorId": monitor_id(one.monitor),
        "title": one.message.title,
        "key": one.key,
        "status": one.state,
        "tries": one.tries,
        "message": one.answer,
        "createdAt": iso(one.message.at),
        "nextTryAt": iso(max(one.due_ms, one.made_ms)) if one.state is State.WAITING else None,
        "finishedAt": None if one.finished_ms is None else iso(one.finished_ms),
    }


def _workspace() -> int:
    return gate.identity().workspace


def _sample(event: Event) -> Message:
    """What a template is shown on."""
    at = 1_705_746_600_000  # 2024-01-20T10:30:00Z, as in the rest of the documentation
    status, message = (Status.UP, "OK") if event is Event.UP else (Status.DOWN, "Connection timeout")
    entry = Entry(123, HttpMonitor(name="Website Monitor", url="https://example.com"), at, at)
    beat = Heartbeat(123, at, status, message, response_ms=234 if status is Status.UP else None)
    return compose(event, key="preview", at=at, entry=entry, heartbeat=beat, down_since=at - 300_000)
