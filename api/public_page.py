"""What the public sees of a status page: built from an allow-list of fields, and kept until something of it changes.

A page that is shown on a bad day is asked for a thousand times a second, so what is made is kept, in three parts:

- the page itself and its incidents: until a page, an incident or the set of monitors changes (`StatusPages.revision`), at
  most `KEPT_MS`, because old incidents leave it by and by;
- the uptime figures and the days that people are shown: for `KEPT_MS`, because they change with every millisecond;
- what the monitors show now: it is in memory, and is compared each time.

One request at a time makes a page anew, the others wait for it. At most `MOST_KEPT` pages are kept, the last that were asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypedDict

import msgspec
import trio
from markupsafe import Markup
from quart import Response
from quart_trio import QuartTrio

from peekaping.api import pages
from peekaping.api.day_bars import day_bars
from peekaping.api.describe import OPEN, described
from peekaping.api.errors import ApiError
from peekaping.api.incident_rules import IncidentStatus
from peekaping.api.incidents import UpdateShape, title_of, updates_shape
from peekaping.api.references import snapshot_of
from peekaping.api.shapes import Milliseconds, Time, Uptime
from peekaping.engine.accounting import DAY, Bucket
from peekaping.engine.alerts.message import span
from peekaping.engine.engine import Engine
from peekaping.engine.records import Status, iso, monitor_id
from peekaping.store.incidents import Incident, Incidents
from peekaping.store.status_pages import StatusPage, StatusPages

KEPT_MS = 60_000
MOST_KEPT = 200
DAYS_SHOWN = 30
INCIDENTS_SHOWN_MS = DAYS_SHOWN * DAY
MOST_INCIDENTS = 50


class PublicMonitorShape(TypedDict):
    name: str
    status: Status
    responseTime: Milliseconds | None
    uptime: Uptime


class PublicIncidentShape(TypedDict):
    title: str
    status: IncidentStatus
    startTime: Time
    endTime: Time | None
    monitors: list[str]
    updates: list[UpdateShape]


class PublicPageShape(TypedDict):
    slug: str
    title: str
    description: str
    monitors: list[PublicMonitorShape]
    incidents: list[PublicIncidentShape]


class _Seen(NamedTuple):
    """What a page shows of a monitor at present."""

    number: int
    name: str
    status: Status
    response_ms: int | None


class _Kept:
    """What is kept of one page."""

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.revision = -1
        self.read_ms = 0
        self.page: StatusPage | None = None
        self.incidents: list[Incident] = []
        self.figures: dict[str, list[Bucket]] = {}
        self.figures_ms = 0
        self.seen: list[_Seen] = []
        self.shape: PublicPageShape | None = None
        self.body = b""
        self.bars: dict[str, Markup] = {}
        self.bars_ms = 0
        self.html: str | None = None


class PublicPages:
    """The published pages, as everybody may see them."""

    def __init__(self, engine: Engine, pages: StatusPages, incidents: Incidents, utc_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._pages = pages
        self._incidents = incidents
        self._utc_ms = utc_ms
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def json(self, slug: str) -> bytes:
        """The page as JSON.

        Raises:
          ApiError: 404 where there is none, or it is not published.
        """
        return (await self._up_to_date(slug)).body

    async def html(self, slug: str) -> str:
        """The page for people; raises as `json`."""
        kept = await self._up_to_date(slug)
        async with kept.lock:
            if kept.bars_ms != kept.figures_ms:
                ids = [monitor_id(seen.number) for seen in kept.seen]
                days = await self._engine.days(ids, DAYS_SHOWN)
                kept.bars = await trio.to_thread.run_sync(lambda: {id: day_bars(of_one) for id, of_one in days.items()})
                kept.bars_ms, kept.html = kept.figures_ms, None
            if kept.html is None:  # in a thread: a page of 500 monitors takes longer than a hundred checks
                bars = [kept.bars.get(monitor_id(seen.number), "") for seen in kept.seen]
                shown = {
                    "page": kept.shape,
                    "bars": bars,
                    "days": DAYS_SHOWN,
                    "now": iso(self._utc_ms()),
                    "lasted": _lasted,
                }
                kept.html = await trio.to_thread.run_sync(partial(pages.filled, "status.html", **shown))
            return kept.html

    async def _up_to_date(self, slug: str) -> _Kept:
        kept = self._kept.setdefault(slug, _Kept())
        self._kept.move_to_end(slug)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        async with kept.lock:
            now, revision = self._utc_ms(), self._pages.revision
            if kept.revision != revision or not 0 <= now - kept.read_ms < KEPT_MS:
                await self._read(kept, slug, now, revision)
            assert kept.page is not None
            if not 0 <= now - kept.figures_ms < KEPT_MS:
                ids = [monitor_id(number) for number in kept.page.monitors]
                kept.figures = await self._engine.uptimes(ids)
                kept.figures_ms, kept.shape = now, None
            seen = self._look(kept.page)
            if kept.shape is None or kept.seen != seen:
                kept.seen, kept.shape = seen, self._shape(kept, kept.page, seen)
                kept.body, kept.html = msgspec.json.encode(kept.shape), None
        return kept

    async def _read(self, kept: _Kept, slug: str, now: int, revision: int) -> None:
        page = await self._pages.get(slug)
        if page is None or not page.published:
            self._kept.pop(slug, None)
            raise ApiError(404, "There is no such status page")
        kept.incidents = await self._incidents.of_monitors(
            page.monitors, since=now - INCIDENTS_SHOWN_MS, limit=MOST_INCIDENTS
        )
        if kept.page is None or kept.page.monitors != page.monitors:
            kept.figures_ms = 0
        kept.page, kept.revision, kept.read_ms, kept.shape = page, revision, now, None

    def _look(self, page: StatusPage) -> list[_Seen]:
        return [
            _Seen(number, found.entry.monitor.name, found.state.status, found.last.response_ms if found.last else None)
            for number in page.monitors
            if (found := snapshot_of(self._engine, number)) is not None
        ]

    def _shape(self, kept: _Kept, page: StatusPage, seen: list[_Seen]) -> PublicPageShape:
        names = {monitor.number: monitor.name for monitor in seen}
        return {
            "slug": page.slug,
            "title": page.title,
            "description": page.description,
            "monitors": [_monitor_shape(monitor, kept.figures[monitor_id(monitor.number)]) for monitor in seen],
            "incidents": [
                {
                    "title": title_of(self._engine, incident),
                    "status": IncidentStatus(incident.status),
                    "startTime": iso(incident.start),
                    "endTime": None if incident.end is None else iso(incident.end),
                    "monitors": [names[number] for number in incident.monitors if number in names],
                    "updates": updates_shape(incident),
                }
                for incident in kept.incidents
            ],
        }


def install(app: QuartTrio, public: PublicPages) -> None:
    """Serve the pages for people, outside the API's prefix."""

    @app.get("/status/<slug>")
    @described("Show a status page to people", needs=OPEN, answers={200: "text/html"})
    async def status_page(slug: str) -> Response:
        return pages.shown(await public.html(slug))


def _lasted(incident: PublicIncidentShape) -> str:
    ends = [datetime.fromisoformat(at) for at in (incident["startTime"], incident["endTime"]) if at is not None]
    return span(round((ends[-1] - ends[0]).total_seconds() * 1000))


def _monitor_shape(monitor: _Seen, figures: list[Bucket]) -> PublicMonitorShape:
    day, week, month = figures
    return {
        "name": monitor.name,
        "status": monitor.status,
        "responseTime": monitor.response_ms,
        "uptime": {"24h": day.uptime, "7d": week.uptime, "30d": month.uptime},
    }
