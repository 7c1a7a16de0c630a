"""docs/api.md lists every reason code that the engine can give, and no other; docs/monitors.md says when each is given."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "api.md").read_text().partition("| status | reasons |")[2].partition("\n\n")[0]
DOCUMENTED = set(re.findall(r"`([a-z_]+)`", TABLE.replace("`unknown` |", "")))
NODES = [
    node
    for file in (ROOT / "engine").rglob("*.py")
    if "alerts" not in file.parts  # names of services' fields look like reasons
    for node in ast.walk(ast.parse(file.read_text()))
]
GIVE_REASONS = {"Failed", "Outcome", "Problem", "Unreadable"}


def words(nodes: list[ast.AST]) -> set[str]:
    """The texts that could be codes."""
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if re.fullmatch(r"[a-z]+(_[a-z]+)*", text)}


def identifiers() -> Iterator[str]:
    for node in NODES:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name


def given() -> set[str]:
    """What is said where a reason is given."""
    calls = [n for n in NODES if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id in GIVE_REASONS]
    return words([argument for call in calls for argument in call.args])


def families() -> set[str]:
    """How codes begin that end with what a nameserver said, such as `name_servfail`."""
    parts = {
        node.values[0].value
        for node in NODES
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant)
    }
    return {part for part in parts if isinstance(part, str) and re.fullmatch(r"[a-z]+_", part)}


def test_every_code_is_documented() -> None:
    # Some are in tables. What has an underscore and names nothing in the code is a code as well.
    in_tables = {word for word in words(NODES) if "_" in word} - set(identifiers())
    assert (given() | in_tables) - DOCUMENTED == set()


def test_every_documented_code_exists() -> None:
    gone = DOCUMENTED - words(NODES)
    assert {code for code in gone if not code.startswith(tuple(families()))} == set()


def test_each_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "monitors.md").read_text()))
    assert DOCUMENTED - explained == set()
