"""A row of bars, one for each day: what a monitor's last month was like, seen at a glance.

A drawing of a few hundred bytes, since a page may have hundreds of them: all days are one path, and only those that somebody will
want to know more of, the ones with time down, are elements of their own that say their figure under the pointer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from peekaping.engine.accounting import Bucket
from peekaping.engine.records import iso

PITCH, WIDTH, HEIGHT = 4, 3, 24
LEAST_SHOWN = 2
"""Of the height: a minute down in a day would be a sixtieth of a pixel."""


def day_bars(days: Sequence[Bucket]) -> Markup:
    """Days, oldest first, as SVG with the classes `up`, `down` and `none`; the part of a day that was down hangs from its top."""
    known = _bars(place for place, day in enumerate(days) if day.uptime is not None)
    nothing = _bars(place for place, day in enumerate(days) if day.uptime is None)
    down = "".join(
        f'<path class="down" d="{_bar(place, max(LEAST_SHOWN, round(HEIGHT * (100 - uptime) / 100)))}">'
        f"<title>{iso(day.start)[:10]}: {uptime:g} % up</title></path>"
        for place, day in enumerate(days)
        if (uptime := day.uptime) is not None and day.down
    )
    size = f"0 0 {PITCH * len(days) - PITCH + WIDTH} {HEIGHT}"
    return Markup(
        f'<svg viewBox="{size}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="none" d="{nothing}"/><path class="up" d="{known}"/>{down}</svg>'
    )


def _bars(places: Iterable[int]) -> str:
    return "".join(_bar(place, HEIGHT) for place in places)


def _bar(place: int, height: int) -> str:
    return f"M{place * PITCH} 0h{WIDTH}v{height}h-{WIDTH}z"
