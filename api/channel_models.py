"""A notification channel to create, as JSON: each type with the fields of its `config`, made from the engine's kinds."""

from __future__ import annotations

from typing import Any, Union

from msgspec import Struct, defstruct

from peekaping.api.record_models import new_fields, tag_of
from peekaping.engine.alerts.channel import Channel
from peekaping.engine.alerts.channels import CHANNELS
from peekaping.engine.alerts.settings import ChannelSettings


def _new(kind: type[Channel]) -> type[Struct]:
    name = kind.__name__
    config = defstruct(f"{name}Config", new_fields(kind), kw_only=True, forbid_unknown_fields=True)
    fields = [*new_fields(ChannelSettings), ("config", config)]
    return defstruct(
        f"New{name}Channel", fields, kw_only=True, tag_field="type", tag=tag_of(kind), forbid_unknown_fields=True
    )


NewChannel: Any = Union[tuple(map(_new, CHANNELS.values()))]  # noqa: UP007 (computed)
