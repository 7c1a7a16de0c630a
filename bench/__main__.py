"""`python -m bench [NAME...]`: measure, print the tables, keep the record.

What was measured is written after each scenario into bench/results, a file for each selection of scenarios: as `…-partial.json`
until the run is whole, so that one that is ended early leaves what it has. With `--keep` a whole run goes into docs/ as well,
with the page and the charts. Runs are compared with that record, quick ones with the quick one before, and the tables say what
has become worse.

Exits with 1 when a scenario failed or could not be measured, whatever the figures are.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import charts, report
from bench.figures import Record
from bench.lab import ROOT, Lab, TooFewCores, Unavailable
from bench.scenarios import SCENARIOS
from peekaping.server import raise_descriptor_limit

RESULTS, DOCS = ROOT / "bench" / "results", ROOT / "docs"
KEPT, PAGE = DOCS / "performance.json", DOCS / "performance.md"
QUIET = 0.5
"""A load average above this is something else that runs beside; what is kept is measured below it."""

_QUESTIONS = "\n".join(f"  {name:10}{scenario.question}" for name, scenario in SCENARIOS.items())


@click.command(epilog=f"\b\nThe scenarios, all of them unless some are named:\n{_QUESTIONS}")
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)), metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Small and short: says whether it works, and about how fast.")
@click.option("--keep", is_flag=True, help="Keep the record of a whole run in docs/, with the page and the charts.")
def main(names: tuple[str, ...], quick: bool, keep: bool) -> None:
    """Measure what Peekaping costs, beside every peer that is installed. Figures are printed, never asserted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, and so ends what was started
    raise_descriptor_limit()  # what is started here inherits it
    console = Console(width=None if sys.stdout.isatty() else 160)
    chosen = [name for name in SCENARIOS if name in names or not names]
    record = Record(
        date=datetime.now(UTC).date().isoformat(),
        version=report.describe(),
        quick=quick,
        machine=report.machine(os.getloadavg()[0]),
        figures=[],
        skipped={},
    )
    if keep:
        _check_keepable(record, names)
    elif record.machine.load > QUIET:
        console.print(f"[yellow]the load average is {record.machine.load:.2f}: something else runs beside")
    path = RESULTS / f"{'-'.join(names and chosen) or 'all'}{'-quick' if quick else ''}.json"
    before = report.read(path if quick else KEPT)
    partial = path.with_stem(f"{path.stem}-partial")
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    failed: list[str] = []
    try:
        _measure(console, chosen, record, before, partial, folder, failed)
    except TooFewCores as error:
        raise click.ClickException(str(error)) from error
    finally:
        if failed:
            console.print(f"logs and databases are in {folder}")
        else:
            shutil.rmtree(folder)
    partial.replace(path)
    console.print(report.table(record.figures, before))
    if before is not None:
        console.print(f"worse is said in comparison with the run of {before.date} at {before.version}")
    for name, reason in record.skipped.items():
        console.print(f"[yellow]not measured: {name}: {reason}")
    console.print(f"the record is {path}")
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}")
    if keep and (record.skipped or report.describe() != record.version):
        raise click.ClickException("nothing is kept in docs/: something is missing, or the code was changed meanwhile")
    if failed:
        sys.exit(1)
    if keep:
        _write(record, KEPT, DOCS / "charts")
        PAGE.write_text(report.page(PAGE.read_text(), record))


def _check_keepable(record: Record, names: tuple[str, ...]) -> None:
    """Refuse before forty minutes of work what nobody should keep.

    Raises:
      click.UsageError: it is no whole run, of no certain code, or on a machine that does something else as well.
    """
    report.page(PAGE.read_text(), record)
    if names or record.quick:
        raise click.UsageError("what is kept is a whole run: leave names and --quick away")
    if record.version == "unknown" or record.version.endswith("-dirty"):
        raise click.UsageError("what is kept says which commit was measured: commit first")
    if record.machine.load > QUIET:
        load = f"the load average is {record.machine.load:.2f}"
        raise click.UsageError(f"{load}: wait until it is below {QUIET}, or find what else runs here")


def _measure(
    console: Console,
    chosen: list[str],
    record: Record,
    before: Record | None,
    path: Path,
    folder: Path,
    failed: list[str],
) -> None:
    """Run the scenarios one after the other, and write down and show what each gave.

    One that fails is reported and put into `failed`, and the others go on.
    """
    seconds = {name: SCENARIOS[name].quick_s if record.quick else SCENARIOS[name].full_s for name in chosen}
    console.print(f"{', '.join(chosen)}: about {_span(sum(seconds.values()))}")
    columns = (TextColumn("{task.fields[doing]}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    # No thread that draws: it would take the target's core.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task("", total=sum(seconds.values()), doing="")
        done, name = 0, ""
        lab = Lab(
            folder,
            quick=record.quick,
            tell=lambda what: progress.update(task, doing=f"{name}: {what}", refresh=True),
            tick=lambda passed: progress.update(task, advance=passed, refresh=True),
        )
        os.sched_setaffinity(0, {lab.other_core})
        for place, (name, expected) in enumerate(seconds.items(), 1):
            began = time.monotonic()
            figures = []
            try:
                figures = SCENARIOS[name].run(lab)
            except Unavailable as error:
                lab.skipped[name] = str(error)
                failed.append(name)
            except Exception as error:  # whatever it is, what the others measure is worth having
                lab.skipped[name] = f"{type(error).__name__}: {error}"
                failed.append(name)
                console.print_exception()
            record.figures.extend(figures)
            record.skipped.update(lab.skipped)
            _write(record, path, RESULTS)
            console.print(f"{place} of {len(chosen)}, {name}: {_span(time.monotonic() - began)}")
            if figures and len(chosen) > 1:
                console.print(report.table(figures, before))
            done += expected
            progress.update(task, completed=done)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _write(record: Record, path: Path, drawings: Path) -> None:
    report.write(record, path)
    drawings.mkdir(parents=True, exist_ok=True)
    for name, drawing in charts.draw(record.figures).items():
        (drawings / name).write_text(drawing)


if __name__ == "__main__":
    main()
