"""Channels as users see them: made, changed, removed, tried out. Reading is from memory.

Changes are carried out by the director, between those of monitors, since monitors name channels. A change is stored first.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

import trio
from msgspec.structs import replace

from peekaping.engine.actor import Runtime
from peekaping.engine.alerts.channel import Channel, NotDelivered, deliver
from peekaping.engine.alerts.channels import HEADING, changed_channel, parse_channel
from peekaping.engine.alerts.delivery import ChannelEntry, Delivery
from peekaping.engine.alerts.message import Event, compose
from peekaping.engine.alerts.outbox import Dispatcher
from peekaping.engine.alerts.ports import AlertStore
from peekaping.engine.alerts.settings import ChannelSettings, shown_settings
from peekaping.engine.alerts.web import Web
from peekaping.engine.errors import Invalid, NoSuchChannel
from peekaping.engine.fields import Errors, parse_fields
from peekaping.engine.records import number_in

T = TypeVar("T")

SLOT_WITHIN_S = 30.0
"""How long a test waits where too many messages are being sent: somebody looks at it."""
SERVER_OWNED = frozenset({"id", "createdAt", "updatedAt"})
"""Fields that `GET` shows and an update passes over, so that what was read can be sent back."""


class CarryOut(Protocol):
    """The director's: see `Director.carry_out`."""

    def __call__(self, work: Callable[[], Awaitable[T]], /) -> Awaitable[T]: ...


class Channels:
    """All channels of one engine. Each method that changes something raises `Stopped` and `StoreFailed` too."""

    def __init__(
        self,
        store: AlertStore,
        entries: dict[int, ChannelEntry],
        runtimes: Mapping[int, Runtime],
        dispatcher: Dispatcher,
        web: Web,
        carry_out: CarryOut,
        utc_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._entries = entries
        self._runtimes = runtimes
        self._dispatcher = dispatcher
        self._web = web
        self._carry_out = carry_out
        self._utc_ms = utc_ms

    def all(self, workspace: int = 1) -> list[ChannelEntry]:
        """A workspace's channels, oldest first."""
        return [entry for entry in self._entries.values() if entry.workspace == workspace]

    def get(self, id: str, workspace: int = 1) -> ChannelEntry:
        """One of its channels; raises NoSuchChannel."""
        entry = self._entries.get(number_in(id, "channel") or 0)
        if entry is None or entry.workspace != workspace:
            raise NoSuchChannel(f"There is no notification channel {id[:40]}")
        return entry

    async def add(self, data: Mapping[str, Any], workspace: int = 1) -> ChannelEntry:
        """Add a channel, given as the API's fields.

        Raises:
          Invalid: with every wrong field, those of `config` as `config.url`.
          NameTaken: another channel of the workspace has its name.
        """
        channel, settings = _parse(data, parse_channel, data.get("type"))
        return await self._carry_out(partial(self._add, channel, settings, workspace))

    async def update(self, id: str, changes: Mapping[str, Any], workspace: int = 1) -> ChannelEntry:
        """Change the given fields, within `config` too; None takes a field back to its default. What waits for a channel that is
        disabled is given up.

        Raises:
          NoSuchChannel, Invalid, NameTaken.
        """
        return await self._carry_out(partial(self._update, id, changes, workspace))

    async def delete(self, id: str, workspace: int = 1) -> None:
        """Forget a channel and what waits for it; monitors do not name it any more. Raises NoSuchChannel."""
        await self._carry_out(partial(self._delete, id, workspace))

    async def test(self, id: str, workspace: int = 1) -> tuple[bool, str]:
        """Send a message now, and tell whether the service took it and what it said; raises NoSuchChannel."""
        channel = self.get(id, workspace).channel
        message = compose(Event.TEST, key=f"test:{secrets.token_hex(8)}:{id}", at=self._utc_ms())
        with trio.move_on_after(SLOT_WITHIN_S) as waiting:
            async with channel.slot(self._web):
                waiting.deadline = math.inf  # sending has a limit of its own
                try:
                    return True, await deliver(channel, message, self._web)
                except NotDelivered as error:
                    return False, error.text
        return False, f"Nothing was sent: for {SLOT_WITHIN_S:g} seconds other messages were being sent; try again"

    async def deliveries(
        self, id: str, workspace: int = 1, *, offset: int = 0, limit: int = 20
    ) -> tuple[int, list[Delivery]]:
        """How many messages there are for a channel, and some of them, newest first; raises NoSuchChannel."""
        return await self._store.deliveries(self.get(id, workspace).number, offset=offset, limit=limit)

    async def redeliver(self, id: str, delivery: str, workspace: int = 1) -> Delivery:
        """Send a message again, or now, with the key it has.

        Raises:
          NoSuchChannel: there is no such channel, or no such message for it.
          Invalid: the channel is disabled.
        """
        entry = self.get(id, workspace)
        if not entry.settings.enabled:
            raise Invalid("Nothing is sent to a channel that is disabled", {"enabled": ["Enabled must be true"]})
        found = await self._store.redeliver(entry.number, number_in(delivery, "delivery") or 0, self._utc_ms())
        if found is None:
            raise NoSuchChannel(f"There is no delivery {delivery[:40]} of {entry.id}")
        self._dispatcher.wake([entry.number])
        return found

    # The commands: the director carries them out, one at a time.

    async def _add(self, channel: Channel, settings: ChannelSettings, workspace: int) -> ChannelEntry:
        entry = await self._store.add_channel(channel, settings, workspace=workspace, now_ms=self._utc_ms())
        self._entries[entry.number] = entry
        return entry

    async def _update(self, id: str, changes: Mapping[str, Any], workspace: int) -> ChannelEntry:
        before = self.get(id, workspace)
        kind = changes.get("type", before.channel.kind)
        if kind != before.channel.kind:
            message = f"Type cannot be changed from {before.channel.kind}; create another channel"
            raise Invalid(HEADING, {"type": [message]})
        wanted = {name: value for name, value in changes.items() if name not in SERVER_OWNED}
        data = {"config": {}, **shown_settings(before.settings), **wanted}
        channel, settings = _parse(data, lambda _, config: changed_channel(before.channel, config), kind)
        entry = replace(before, channel=channel, settings=settings, updated_ms=self._utc_ms())
        await self._store.replace_channel(entry)
        self._entries[entry.number] = entry
        self._dispatcher.wake([entry.number])
        return entry

    async def _delete(self, id: str, workspace: int) -> None:
        entry = self.get(id, workspace)
        now_ms, changed = self._utc_ms(), []
        for runtime in self._runtimes.values():
            notifications = runtime.entry.monitor.notifications
            if entry.id in notifications.channels:
                left = tuple(other for other in notifications.channels if other != entry.id)
                monitor = replace(runtime.entry.monitor, notifications=replace(notifications, channels=left))
                changed.append(replace(runtime.entry, monitor=monitor, updated_ms=now_ms))
        await self._store.remove_channel(entry.number, changed)
        for monitor_entry in changed:  # whom it tells is nothing that its actor has to be restarted for
            self._runtimes[monitor_entry.number].entry = monitor_entry
        del self._entries[entry.number]
        self._dispatcher.forget(entry.number)


def _parse(
    data: Mapping[str, Any], make: Callable[[object, Mapping[str, Any]], Channel], kind: object
) -> tuple[Channel, ChannelSettings]:
    """The two halves of a channel, with what is wrong in either said at once."""
    errors: Errors = {}
    config = data.get("config")
    try:
        if not isinstance(config, dict):
            problem = "Config is required" if config is None else "Config must be an object"
            errors["config"] = [problem]
            config = {}
        channel = make(kind, config)
    except Invalid as invalid:
        errors |= invalid.errors
    rest = {name: value for name, value in data.items() if name not in ("type", "config")}
    try:
        settings = parse_fields(ChannelSettings, rest, thing="channel", heading=HEADING)
    except Invalid as invalid:
        errors |= invalid.errors
    if errors:
        raise Invalid(HEADING, errors)
    return channel, settings
