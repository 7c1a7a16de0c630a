"""Two drawings as SVG, written by hand: a chart library would be the heaviest dependency of the project, for a few rectangles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from math import log10

from bench.figures import Figure, show

# What the drawn figures are called.
BESIDE = "CPU of an HTTP check beside"
GROWTH = "monitors, 1,000 checks/s"

WIDTH, LEFT, RIGHT = 720, 190, 90
OURS, PEER, INK, FAINT = "#2a7f62", "#b0b7bf", "#24292f", "#d8dee4"
_GROWTH = re.compile(rf"([\d,]+) {GROWTH}: (.*)")


def draw(figures: Sequence[Figure]) -> dict[str, str]:
    """File name to SVG, for what the figures hold."""
    drawn = {}
    beside = [figure for figure in figures if figure.name.startswith(BESIDE) and figure.peers]
    if beside:
        peers = [(figure.peer or "", figure.middle / ratio) for figure in beside if (ratio := figure.ratio)]
        bars = sorted([("peekaping, all of it", beside[0].middle), *peers], key=lambda bar: bar[1])
        drawn["cpu-per-check.svg"] = _bars("CPU of one HTTP check with a new connection, µs", bars)
    growth: dict[str, list[tuple[int, float]]] = {}
    for figure in figures:
        if match := _GROWTH.fullmatch(figure.name):
            label = f"{match[2]}, {figure.unit}"
            growth.setdefault(label, []).append((int(match[1].replace(",", "")), figure.middle))
    if growth:
        drawn["growth.svg"] = _lines("A thousand checks a second, by number of monitors", growth)
    return drawn


def _bars(title: str, bars: Sequence[tuple[str, float]]) -> str:
    largest = max(value for _, value in bars) or 1
    parts = []
    for place, (name, value) in enumerate(bars):
        y = 44 + 28 * place
        width = (WIDTH - LEFT - RIGHT) * value / largest
        colour = OURS if name.startswith("peekaping") else PEER
        parts += [
            _text(LEFT - 8, y + 15, name, "end"),
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="20" fill="{colour}"/>',
            _text(LEFT + width + 6, y + 15, show(value)),
        ]
    return _svg(title, 60 + 28 * len(bars), parts)


def _lines(title: str, panels: dict[str, list[tuple[int, float]]]) -> str:
    """One panel for each measure, over a common logarithmic axis."""
    parts: list[str] = []
    height = 90
    counts = sorted({count for points in panels.values() for count, _ in points})
    first, decades = log10(counts[0]), log10(counts[-1] / counts[0]) or 1

    def x(count: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (log10(count) - first) / decades

    for place, (name, points) in enumerate(panels.items()):
        top = 50 + (height + 30) * place
        largest = max(value for _, value in points) or 1
        spots = [(x(count), top + height * (1 - value / largest), value) for count, value in sorted(points)]
        base = top + height
        path = " ".join(f"{left:.1f},{y:.1f}" for left, y, _ in spots)
        parts += [
            _text(LEFT - 20, top + height / 2, name, "end"),
            f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}" stroke="{FAINT}"/>',
            f'<polyline points="{path}" fill="none" stroke="{OURS}" stroke-width="2"/>',
            *(f'<circle cx="{left:.1f}" cy="{y:.1f}" r="3" fill="{OURS}"/>' for left, y, _ in spots),
            *(_text(left, y - 7, show(value), "middle") for left, y, value in spots),
        ]
    bottom = 50 + (height + 30) * len(panels)
    parts += [_text(x(count), bottom, f"{count:,}", "middle") for count in counts]
    return _svg(title, bottom + 16, parts)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="white"/>',
        f'<text x="12" y="24" fill="{INK}" font-size="15">{escape(title)}</text>',
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}" text-anchor="{anchor}">{escape(text)}</text>'
