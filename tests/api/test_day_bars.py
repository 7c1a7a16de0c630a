"""The bars of a status page, read back from the drawing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from peekaping.api.day_bars import HEIGHT, LEAST_SHOWN, day_bars
from peekaping.engine.accounting import DAY, MINUTE, Bucket

MIDNIGHT = 1_795_392_000_000  # 2026-11-23


def drawn(*days: Bucket) -> dict[str, list[tuple[int, int]]]:
    """By class the bars: the place and the height of each."""
    bars: dict[str, list[tuple[int, int]]] = {}
    for path in ElementTree.fromstring(day_bars(days)).iter("path"):
        found = re.findall(r"M(\d+) 0h3v(\d+)h-3z", path.attrib["d"])
        bars.setdefault(path.attrib["class"], []).extend((int(x) // 4, int(height)) for x, height in found)
    return bars


def day(place: int, up: int = 0, down: int = 0) -> Bucket:
    return Bucket(monitor=1, start=MIDNIGHT + place * DAY, up=up, down=down)


def test_days_are_up_or_unknown_and_what_was_down_hangs_in_its_proportion() -> None:
    bars = drawn(day(0), day(1, up=DAY), day(2, up=DAY // 2, down=DAY // 2), day(3, down=DAY))
    assert bars == {
        "none": [(0, HEIGHT)],
        "up": [(1, HEIGHT), (2, HEIGHT), (3, HEIGHT)],
        "down": [(2, HEIGHT // 2), (3, HEIGHT)],
    }


def test_a_minute_down_is_seen_and_says_its_day_and_figure() -> None:
    outage = day(0, up=DAY - MINUTE, down=MINUTE)
    assert drawn(outage)["down"] == [(0, LEAST_SHOWN)]
    assert "<title>2026-11-23: 99.93 % up</title>" in day_bars([outage])


def test_a_good_month_takes_little_room() -> None:
    assert len(day_bars([day(place, up=DAY) for place in range(30)])) < 1000
