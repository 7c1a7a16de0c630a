"""Imports go one way, api -> store -> engine, so that the engine works alone and a store without a server."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WEB = {"quart", "quart_trio", "hypercorn", "werkzeug", "jwt", "argon2"}
SQL = {"sqlite3", "sqlite_utils"}
MAY_NOT = {
    "engine": {"peekaping.store", "peekaping.api", "click", *WEB, *SQL},
    "store": {"peekaping.api", "click", *WEB},
    "api": {"click", *SQL},
}
FACE = {f"peekaping.{path.stem}" for path in (ROOT / "peekaping").glob("*.py")}
"""The modules on top: whoever builds a server or a client from the folders imports them, not the other way round."""


def modules_imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("folder", MAY_NOT)
def test_no_folder_imports_what_stands_above_it(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    wrong = [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in files
        for module in modules_imported(file)
        if module.startswith(".") or any(is_within(module, package) for package in MAY_NOT[folder] | FACE)
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", ["engine", "store", "api", "peekaping", "tests"])
def test_nobody_imports_by_a_folder_name(folder: str) -> None:
    """`import engine` would work in the checkout alone: installed, there is only `peekaping.engine`."""
    wrong = [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        for module in modules_imported(file)
        if any(is_within(module, top) for top in MAY_NOT)
    ]
    assert wrong == []
