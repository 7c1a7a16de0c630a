"""`python -m bench [NAME...]`: measure, print the table, keep the record.

Every run writes bench/results/latest.json and its charts beside it. With `--keep` the record goes into docs/ as well, with the
page and the charts; later runs say what has become worse than that.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import charts, report
from bench.figures import Figure, Record
from bench.lab import ROOT, Lab, Unavailable, raise_descriptor_limit
from bench.scenarios import SCENARIOS

RESULTS, DOCS = ROOT / "bench" / "results", ROOT / "docs"
KEPT, PAGE = DOCS / "performance.json", DOCS / "performance.md"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)))
@click.option("--quick", is_flag=True, help="Small and short: says whether it works, and about how fast.")
@click.option("--keep", is_flag=True, help="Keep the record in docs/, with the page and the charts.")
def main(names: tuple[str, ...], quick: bool, keep: bool) -> None:
    """Measure the named scenarios, by default all. Figures are printed, never asserted."""
    if keep and names:
        raise click.UsageError("what is kept is a whole run; leave the names away")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, and so ends what was started
    raise_descriptor_limit()
    console = Console(width=None if sys.stdout.isatty() else 160)
    chosen = names or tuple(SCENARIOS)
    seconds = {name: SCENARIOS[name].quick_s if quick else SCENARIOS[name].full_s for name in chosen}
    console.print(f"{', '.join(chosen)}: about {sum(seconds.values()) / 60:.0f} minutes")
    load = os.getloadavg()[0]
    if load > 0.5:
        console.print(f"[yellow]the load average is {load:.2f}: this machine does something else as well")
    figures, skipped = _measure(console, seconds, quick)
    record = Record(
        date=datetime.now(UTC).date().isoformat(),
        version=report.describe(),
        quick=quick,
        machine=report.machine(load),
        figures=figures,
        skipped=skipped,
    )
    kept = report.read(KEPT)
    console.print(report.table(figures, {} if kept is None else {figure.name: figure for figure in kept.figures}))
    for name, reason in skipped.items():
        console.print(f"[yellow]not measured: {name}: {reason}")
    _write(record, RESULTS / "latest.json", RESULTS)
    if keep:
        _write(record, KEPT, DOCS / "charts")
        PAGE.write_text(report.page(PAGE.read_text(), record))
    sys.exit(1 if any(name in SCENARIOS for name in skipped) else 0)


def _measure(console: Console, seconds: dict[str, int], quick: bool) -> tuple[list[Figure], dict[str, str]]:
    """Run the scenarios one after the other. One that fails is reported, and the others go on."""
    figures: list[Figure] = []
    columns = (TextColumn("{task.fields[doing]}"), BarColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Progress(
            *columns,
            console=console,
            auto_refresh=False,  # a thread that draws would take the target's core
        ) as progress,
    ):
        task = progress.add_task("", total=sum(seconds.values()), doing="")
        done, name = 0, ""
        lab = Lab(
            Path(folder),
            quick=quick,
            tell=lambda what: progress.update(task, doing=f"{name}: {what}", refresh=True),
            tick=lambda passed: progress.update(task, advance=passed, refresh=True),
        )
        os.sched_setaffinity(0, {lab.other_core})
        for name, expected in seconds.items():
            began = time.monotonic()
            try:
                figures += SCENARIOS[name].run(lab)
            except Unavailable as error:
                lab.skipped[name] = str(error)
            except Exception as error:  # whatever it is, what the others measure is worth having
                lab.skipped[name] = f"{type(error).__name__}: {error}"
                console.print_exception()
            console.print(f"{name}: {time.monotonic() - began:.0f} s")
            done += expected
            progress.update(task, completed=done)
    return figures, lab.skipped


def _write(record: Record, path: Path, drawings: Path) -> None:
    report.write(record, path)
    drawings.mkdir(parents=True, exist_ok=True)
    for name, drawing in charts.draw(record.figures).items():
        (drawings / name).write_text(drawing)


if __name__ == "__main__":
    main()
