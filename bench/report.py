"""What comes out of a run: a table on the terminal, a record as JSON, the page in docs/."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from rich.table import Table

from bench import charts
from bench.figures import Figure, Machine, Record, goal_of, show, spread
from bench.lab import ROOT

BEGIN, END = "<!-- written by make bench -->", "<!-- end of what make bench writes -->"
PACKAGES = ("peekaping", "trio", "httptools", "msgspec", "dnspython", "hypercorn", "quart-trio", "sqlite-utils")


def table(figures: Iterable[Figure], before: Record | None = None) -> Table:
    """Name, ours, peer, ratio, goal, met; and what has become worse than in a record of before."""
    shown = Table(show_edge=False, pad_edge=False)
    for heading in ("figure", "ours", "peer", "ratio", "goal", "met"):
        shown.add_column(heading, justify="left" if heading in ("figure", "goal") else "right")
    earlier = {} if before is None else {figure.name: figure for figure in before.figures}
    for figure in figures:
        cells = _cells(figure)
        worse = figure.worse_than(earlier[figure.name]) if figure.name in earlier else None
        if worse is not None:
            cells[-1] = f"{cells[-1]} worse by {worse:.2f}".strip()
        style = "red" if figure.met is False or worse is not None else None
        shown.add_row(*cells, style=style)
    return shown


def _cells(figure: Figure) -> list[str]:
    return [
        figure.name,
        f"{spread(figure.ours)} {figure.unit}".strip(),
        _peer(figure) if figure.peers else "",
        "" if figure.ratio is None else show(figure.ratio),
        goal_of(figure).strip(),
        {True: "yes", False: "NO", None: ""}[figure.met],
    ]


def _peer(figure: Figure) -> str:
    name = "" if figure.peer is None or figure.peer in figure.name else figure.peer
    return f"{spread(figure.peers)} {name}".strip()


def machine(load: float) -> Machine:
    """This machine; `load` as it was before the run."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "none"
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=" ".join([platform.system(), *re.findall(r"^\d+\.\d+", platform.release())]),
        python=platform.python_version(),
        load=load,
        versions=versions,
    )


def describe() -> str:
    """git describe, or that there is no git."""
    command = ["git", "describe", "--always", "--dirty", "--tags"]
    try:
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def write(record: Record, path: Path) -> None:
    """Keep a record as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    new.replace(path)  # whoever is ended meanwhile leaves the old one


def read(path: Path) -> Record | None:
    """A record that was kept; None where there is none."""
    return msgspec.json.decode(path.read_bytes(), type=Record) if path.exists() else None


def page(text: str, record: Record) -> str:
    """The page with the part between the markers written anew from a record.

    Raises:
      ValueError: it has no markers.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page must hold {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{_markdown(record)}\n{END}{tail}"


def _markdown(record: Record) -> str:
    machine = record.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    lines = [
        f"Measured on {record.date} at {record.version}{' in a quick run' if record.quick else ''}: {machine.processor},"
        f" {machine.cores} cores, Python {machine.python}, {versions}. Load average before the run: {machine.load:.2f}.",
        "",
        "| figure | ours | peer | ratio | goal | met |",
        "|---|---:|---:|---:|---|---|",
        *("| " + " | ".join(_cells(figure)) + " |" for figure in record.figures),
        "",
        *(f"Not measured: {name} ({reason})." for name, reason in record.skipped.items()),
        *(f"![{name.removesuffix('.svg').replace('-', ' ')}](charts/{name})" for name in charts.draw(record.figures)),
    ]
    return "\n".join(lines)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
