"""docs/channels.md lists every type of channel and each of its fields with its default."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from peekaping.engine.alerts.channels import CHANNELS
from peekaping.engine.alerts.message import Event
from peekaping.engine.alerts.templates import bindings
from peekaping.engine.alerts.worded import Worded

from ..test_monitor_docs import fields_in
from .service import down

DOCS = Path(__file__).parents[3] / "docs" / "channels.md"
TEXT = DOCS.read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def test_every_type_has_a_section() -> None:
    assert list(SECTIONS) == ["All types", *CHANNELS]


@pytest.mark.parametrize("kind", CHANNELS)
def test_every_field_is_there_with_its_default_and_whether_it_is_secret(kind: str) -> None:
    config = CHANNELS[kind]
    shared = {field.name for field in msgspec.structs.fields(Worded)} if issubclass(config, Worded) else set()
    own = {field.encode_name: field for field in msgspec.structs.fields(config) if field.name not in shared}
    written = fields_in(SECTIONS[kind])
    assert set(written) == set(own)
    for name, field in own.items():
        if field.required:
            assert written[name] == "required"
        elif field.default not in (msgspec.NODEFAULT, None):
            shown = field.default if isinstance(field.default, str) else msgspec.json.encode(field.default).decode()
            assert written[name].strip("`") == shown, name
    marked = {name for name in own if re.search(rf"^\| `{name}` \|.*\bsecret\b[^;]* \|$", SECTIONS[kind], re.MULTILINE)}
    assert marked - {"headers", "secret"} == config.secrets - {"secret"}


def test_the_shared_fields_are_there() -> None:
    assert set(fields_in(SECTIONS["All types"])) == {field.encode_name for field in msgspec.structs.fields(Worded)}


def test_every_name_for_templates_is_there() -> None:
    table = SECTIONS["All types"].partition("| name |")[2].partition("\n\n")[0]
    first = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    assert {name for cell in first for name in re.findall(r"`(\w+)`", cell)} == set(bindings(down()))


def test_every_event_is_there() -> None:
    assert all(f"`{event}`" in SECTIONS["webhook"] for event in Event)
