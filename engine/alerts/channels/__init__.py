"""The kinds of channels. A kind is one file here, and one line in the registry below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

import msgspec

from peekaping.engine.alerts.channel import Channel
from peekaping.engine.alerts.channels.apprise import Apprise
from peekaping.engine.alerts.channels.discord import Discord
from peekaping.engine.alerts.channels.email import Email
from peekaping.engine.alerts.channels.google_chat import GoogleChat
from peekaping.engine.alerts.channels.gotify import Gotify
from peekaping.engine.alerts.channels.grafana_oncall import GrafanaOncall
from peekaping.engine.alerts.channels.line import Line
from peekaping.engine.alerts.channels.matrix import Matrix
from peekaping.engine.alerts.channels.mattermost import Mattermost
from peekaping.engine.alerts.channels.ntfy import Ntfy
from peekaping.engine.alerts.channels.opsgenie import Opsgenie
from peekaping.engine.alerts.channels.pagerduty import Pagerduty
from peekaping.engine.alerts.channels.pagertree import Pagertree
from peekaping.engine.alerts.channels.pushbullet import Pushbullet
from peekaping.engine.alerts.channels.pushover import Pushover
from peekaping.engine.alerts.channels.sendgrid import Sendgrid
from peekaping.engine.alerts.channels.signal import Signal
from peekaping.engine.alerts.channels.slack import Slack
from peekaping.engine.alerts.channels.teams import Teams
from peekaping.engine.alerts.channels.telegram import Telegram
from peekaping.engine.alerts.channels.twilio import Twilio
from peekaping.engine.alerts.channels.webhook import Webhook
from peekaping.engine.alerts.channels.wecom import Wecom
from peekaping.engine.alerts.channels.whatsapp import Whatsapp
from peekaping.engine.errors import Invalid
from peekaping.engine.fields import changed_fields, parse_fields, shown_fields

_KINDS: tuple[type[Channel], ...] = (
    Email,
    Webhook,
    Slack,
    Discord,
    Telegram,
    Teams,
    Mattermost,
    Matrix,
    Ntfy,
    Gotify,
    Pushover,
    Pagerduty,
    Opsgenie,
    Twilio,
    GoogleChat,
    GrafanaOncall,
    Signal,
    Pushbullet,
    Pagertree,
    Wecom,
    Whatsapp,
    Sendgrid,
    Line,
    Apprise,
)
CHANNELS = {str(kind.__struct_config__.tag): kind for kind in _KINDS}
"""By what users call them, in the order of the documentation."""
_decoder: msgspec.json.Decoder[Channel] = msgspec.json.Decoder(Union[_KINDS])  # noqa: UP007 (computed)
HEADING = "Invalid notification channel"


def parse_channel(kind: object, config: Mapping[str, Any]) -> Channel:
    """Make a channel from its type and the fields of `config`.

    Raises:
      Invalid: with all wrong fields at once: `type`, or those of `config` as `config.url`.
    """
    if not isinstance(kind, str) or kind not in CHANNELS:
        wrong = "Type is required" if kind is None else f"Type must be one of: {', '.join(CHANNELS)}"
        raise Invalid(HEADING, {"type": [wrong]})
    try:
        return parse_fields(CHANNELS[kind], config, thing="channel", heading=HEADING)
    except Invalid as invalid:
        raise Invalid(HEADING, {f"config.{name}": texts for name, texts in invalid.errors.items()}) from None


def changed_channel(channel: Channel, changes: Mapping[str, Any]) -> Channel:
    """The channel after these changes of `config`; secrets that come back masked stay, unless their destination changes.

    Raises:
      Invalid: as `parse_channel`.
    """
    return parse_channel(
        channel.kind, {name: value for name, value in changed_fields(channel, changes).items() if name != "type"}
    )


def shown_config(channel: Channel) -> dict[str, Any]:
    """The fields of `config` as JSON knows them, secrets masked."""
    return {name: value for name, value in shown_fields(channel).items() if name != "type"}


def encode_channel(channel: Channel) -> str:
    """JSON for `decode_channel`. It holds the secrets: seal it before it is stored."""
    return msgspec.json.encode(channel).decode()


def decode_channel(definition: str | bytes) -> Channel:
    """A channel from the JSON that `encode_channel` made."""
    return _decoder.decode(definition)
