"""What the harness makes of its figures."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench import __main__ as command
from bench import charts, report
from bench.figures import Figure, Machine, Record, goal_of, show, spread
from bench.report import BEGIN, END
from bench.scenarios import SCENARIOS

OURS = Figure(name="cost", unit="µs", ours=[90, 100, 110], peer="other", peers=[500, 400], goal=0.2, goal_for="ratio")
RATE = Figure(name="rate", unit="1/s", ours=[900, 1000], better="more", goal=1500)
MACHINE = Machine(processor="some", cores=2, system="Linux", python="3.11", load=0.1, versions={"trio": "0.35"})


def test_a_ratio_is_of_medians_and_is_what_its_goal_judges() -> None:
    assert OURS.ratio == 100 / 450
    assert OURS.met is False
    assert RATE.ratio is None
    assert RATE.met is False
    assert Figure(name="x", unit="", ours=[1]).met is None


@pytest.mark.parametrize(
    ("better", "before", "now", "factor"),
    [
        ("less", [100, 110], [180, 190], 185 / 105),
        ("less", [80, 185], [180, 290], None),  # the rounds overlap
        ("less", [100], [140], None),  # within what machines vary by
        ("less", [100], [50], None),
        ("less", [0], [1], float("inf")),
        ("more", [100], [50], 2),
        ("more", [100], [200], None),
    ],
)
def test_worse_is_beyond_the_spread_and_beyond_chance(
    better: str, before: list[float], now: list[float], factor: float | None
) -> None:
    old, new = (Figure(name="x", unit="", ours=ours, better=better) for ours in (before, now))  # type: ignore[arg-type]
    assert new.worse_than(old) == (None if factor is None else pytest.approx(factor))


def test_what_has_a_peer_is_compared_by_its_ratio_whatever_the_machine_does() -> None:
    def measured(ours: float, peer: float) -> Figure:
        return Figure(name="x", unit="", ours=[ours], peer="p", peers=[peer])

    assert measured(200, 400).worse_than(measured(100, 200)) is None
    assert measured(100, 200).worse_than(measured(100, 300)) == pytest.approx(1.5)


def test_the_table_says_what_has_become_worse_and_who_the_peer_is() -> None:
    before = Record(
        date="d",
        version="v",
        quick=False,
        machine=MACHINE,
        figures=[Figure(name="cost", unit="µs", ours=[10], peer="other", peers=[450])],
        skipped={},
    )
    console = Console(width=160, file=StringIO(), record=True)
    console.print(report.table([OURS, RATE], before))
    _title, _rule, cost, rate = console.export_text().splitlines()
    assert "450 (400 to 500) other" in cost
    assert cost.rstrip().endswith("NO worse by 10.00")
    assert rate.rstrip().endswith("NO")


def test_numbers_are_shown_with_what_means_something() -> None:
    assert [show(value) for value in (0, 1234.5, 12.345, 0.01234)] == ["0", "1,234", "12.3", "0.0123"]
    assert [show(value) for value in (100, 99.9999, 99.9)] == ["100", "99.99", "99.9"], "not all is not shown as all"
    assert [spread([2, 1, 3]), spread([2])] == ["2 (1 to 3)", "2"]
    assert [goal_of(OURS), goal_of(RATE)] == ["at most 0.2 x", "at least 1,500 1/s"]


def test_the_page_keeps_what_is_not_between_the_markers() -> None:
    record = Record(
        date="2026-01-01",
        version="v1",
        quick=False,
        machine=MACHINE,
        figures=[OURS, RATE],
        skipped={"asks": "no index"},
    )
    once = report.page(f"# Title\n\n{BEGIN}\nold\n{END}\n\nend\n", record)
    assert once.startswith("# Title\n\n")
    assert once.endswith(f"{END}\n\nend\n")
    assert "old" not in once
    assert "| cost | 100 (90 to 110) µs | 450 (400 to 500) other | 0.222 | at most 0.2 x | NO |" in once
    assert "Not measured: asks (no index)." in once
    assert report.page(once, record) == once
    with pytest.raises(ValueError, match="must hold"):
        report.page("# no markers", record)


def test_a_record_that_is_kept_is_read_again(tmp_path: Path) -> None:
    record = Record(date="d", version="v", quick=True, machine=MACHINE, figures=[OURS], skipped={})
    path = tmp_path / "results" / "latest.json"
    assert report.read(path) is None
    report.write(record, path)
    assert report.read(path) == record


def test_charts_are_svg_and_only_of_what_was_measured() -> None:
    beside = Figure(name="CPU of an HTTP check beside <x>", unit="µs", ours=[100], peer="<x>", peers=[500])
    growth = [
        Figure(name=f"{count:,} monitors, 1,000 checks/s: CPU of a check", unit="µs", ours=[float(count)])
        for count in (100, 10_000)
    ]
    drawn = charts.draw([beside, *growth])
    assert set(drawn) == {"cpu-per-check.svg", "growth.svg"}
    for svg in drawn.values():
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert charts.draw([RATE]) == {}


def test_the_documentation_shows_the_record_that_is_kept_and_every_scenario() -> None:
    text, kept = command.PAGE.read_text(), report.read(command.KEPT)
    assert kept is not None
    assert not kept.skipped
    assert not kept.quick
    assert report.page(text, kept) == text
    for name, drawing in charts.draw(kept.figures).items():
        assert (command.DOCS / "charts" / name).read_text() == drawing
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"`{name}`" for name in SCENARIOS]


@pytest.mark.parametrize(
    ("arguments", "version", "load", "why"),
    [
        (["--quick", "--keep"], "1a2b3c", 0.0, "whole run"),
        (["base", "--keep"], "1a2b3c", 0.0, "whole run"),
        (["--keep"], "1a2b3c-dirty", 0.0, "commit first"),
        (["--keep"], "unknown", 0.0, "commit first"),
        (["--keep"], "1a2b3c", 0.8, "the load average is 0.80"),
    ],
)
def test_what_nobody_should_keep_is_refused_before_anything_is_measured(
    arguments: list[str], version: str, load: float, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "describe", lambda: version)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(command, "_measure", lambda *_: pytest.fail("it measures"))
    result = CliRunner().invoke(command.main, arguments)
    assert result.exit_code == 2
    assert why in result.output


def test_the_help_says_what_each_scenario_asks() -> None:
    shown = CliRunner().invoke(command.main, ["--help"]).output
    for name, scenario in SCENARIOS.items():
        assert name in shown
        assert scenario.question in shown
