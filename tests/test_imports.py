"""Imports go one way, api -> store -> engine, so that the engine works alone and a store without a server."""

from __future__ import annotations

import ast
import re
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


def modules_imported(file: Path, *, at_run_time: bool = False) -> Iterator[str]:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree) if at_run_time else ():
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
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


@pytest.mark.parametrize("folder", ["engine", "engine/alerts", "engine/net", "engine/probes", "store", "api"])
def test_modules_import_each_other_in_the_order_in_which_their_folder_lists_them(folder: str) -> None:
    """A module stands at its own name, or at its folder's. What is imported for the sake of types alone is free."""
    text = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text()), clean=False)
    lines: list[str] = re.findall(r"^ {4}(\S+(?:, \S+)*)  ", text or "", re.MULTILINE)
    order = [name.rstrip("/") for names in lines for name in names.split(", ")]
    package = f"peekaping.{folder.replace('/', '.')}."

    def place(module: str) -> int:
        listed = [name for name in order if is_within(module, name)]
        assert listed, f"{module} is not in the list of {folder}"
        return order.index(max(listed, key=len))

    modules = {
        ".".join(file.relative_to(ROOT / folder).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted((ROOT / folder).rglob("*.py"))
    }
    del modules["__init__"]
    assert [name for name in order if name not in modules] == []
    places = {module: place(module) for module in modules}
    wrong = [
        f"{module} imports {imported}"
        for module, file in modules.items()
        for imported in modules_imported(file, at_run_time=True)
        if imported.startswith(package) and place(imported.removeprefix(package)) < places[module]
    ]
    assert wrong == []
