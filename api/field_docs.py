"""What the fields of monitors and channels mean: the tables of `docs/monitors.md` and `docs/channels.md`.

There it is said once, for people; the OpenAPI document and its page have it from there, so a new kind brings it by its lines in
the documentation. Texts beside the fields in the code were the alternative: the same words twice, and a test to keep them so.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
"""Beside this folder, in the checkout as in the archives."""

SHARED = "All types"


def meanings(page: str, kind: str) -> dict[str, str]:
    """What each field of a kind means, as a page has it. Those of which it says no more than the name are not there."""
    sections = _sections(page)
    return sections[SHARED] | sections.get(kind, {})


@cache
def _sections(page: str) -> dict[str, dict[str, str]]:
    try:
        text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    except FileNotFoundError:  # a copy without its documentation serves all the same
        return {SHARED: {}}
    return {section.partition("\n")[0]: _meanings(section) for section in re.split(r"^## ", text, flags=re.MULTILINE)}


def _meanings(section: str) -> dict[str, str]:
    """The third column of a section's table of fields, by the names in the first; links have become their texts."""
    table = section.partition("| field |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| `")]
    return {
        name: re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", meaning.strip())
        for names, _, meaning in rows
        for name in re.findall(r"`(\w+)`", names)
        if meaning.strip()
    }
