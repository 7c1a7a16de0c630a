"""docs/monitors.md lists every type of monitor and each of its fields with its default."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from peekaping.engine.monitor import Monitor
from peekaping.engine.probes import KINDS

DOCS = Path(__file__).parents[2] / "docs" / "monitors.md"
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", DOCS.read_text(), re.MULTILINE | re.DOTALL))


def fields_in(section: str) -> dict[str, str]:
    """The names in a section's table of fields, each with what its second column says."""
    table = section.partition("| field |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    return {name: default.strip() for names, default in rows for name in re.findall(r"`(\w+)`", names)}


def test_every_type_has_a_section() -> None:
    assert set(SECTIONS) == {"All types", *KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_there_with_its_default(kind: str) -> None:
    shared = {field.name for field in msgspec.structs.fields(Monitor)}
    own = {field.encode_name: field for field in msgspec.structs.fields(KINDS[kind][0]) if field.name not in shared}
    written = fields_in(SECTIONS[kind])
    assert set(written) == set(own)
    for name, field in own.items():
        if field.required:
            assert written[name] == "required"
        elif field.default not in (msgspec.NODEFAULT, None):
            shown = field.default if isinstance(field.default, str) else msgspec.json.encode(field.default).decode()
            assert written[name].strip("`") == shown, name


def test_the_shared_fields_are_there() -> None:
    assert set(fields_in(SECTIONS["All types"])) == {"type"} | {f.encode_name for f in msgspec.structs.fields(Monitor)}
