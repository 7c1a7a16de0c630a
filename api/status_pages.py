"""/status-pages: one page by its slug for everybody, the rest for those who keep them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, TypedDict

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace
from quart import Blueprint, Response

from peekaping.api import gate
from peekaping.api.bodies import json_object, query, read
from peekaping.api.describe import OPEN, READ, WRITE, described
from peekaping.api.errors import ApiError
from peekaping.api.incident_rules import Monitors, Title
from peekaping.api.listing import Listing
from peekaping.api.public_page import PublicPages, PublicPageShape
from peekaping.api.references import monitor_numbers
from peekaping.api.shapes import PaginationShape, Time, encoded, nothing, reply
from peekaping.engine.engine import Engine
from peekaping.engine.records import iso, monitor_id
from peekaping.store.errors import SlugTaken
from peekaping.store.status_pages import StatusPage, StatusPages

INVALID = "Invalid status page"
SHOWN_ONLY = ("createdAt", "updatedAt")
"""Left out of changes."""

Slug = Annotated[
    str,
    Meta(
        max_length=100,
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$(?!\n)",
        description="at most 100 lower-case letters, digits and hyphens between them, such as our-shop",
    ),
]
Explanation = Annotated[str, Meta(max_length=5000, description="a text of at most 5000 characters")]


class NewPage(Struct):
    slug: Slug
    title: Title
    description: Explanation = ""
    published: bool = False
    monitors: Monitors = []


class PageChanges(Struct):
    """What is left out stays."""

    slug: Slug | UnsetType = UNSET
    title: Title | UnsetType = UNSET
    description: Explanation | UnsetType = UNSET
    published: bool | UnsetType = UNSET
    monitors: Monitors | UnsetType = UNSET


class PageShape(TypedDict):
    slug: str
    title: str
    description: str
    published: bool
    monitors: list[str]
    createdAt: Time
    updatedAt: Time


class PagesShape(TypedDict):
    statusPages: list[PageShape]
    pagination: PaginationShape


def routes(engine: Engine, pages: StatusPages, public: PublicPages, utc_ms: Callable[[], int]) -> Blueprint:
    blueprint = Blueprint("status_pages", __name__)

    @blueprint.get("/status-pages")
    @described("List the status pages", needs=READ, query=Listing, answers={200: PagesShape})
    async def show_all() -> Response:
        """As those see them who keep them, oldest first."""
        asked = query(Listing)
        total, found = await pages.of_workspace(gate.identity().workspace, first=asked.first, limit=asked.limit)
        return reply({"statusPages": [page_shape(page) for page in found], "pagination": asked.pages(total)})

    @blueprint.get("/status-pages/<slug>")
    @described("Show a status page to everybody", needs=OPEN, answers={200: PublicPageShape})
    async def show(slug: str) -> Response:
        """Once it is published, without a login."""
        return encoded(await public.json(slug))

    @blueprint.post("/status-pages")
    @described("Create a status page", needs=WRITE, body=NewPage, answers={201: PageShape}, errors=(409,))
    async def create() -> Response:
        body, workspace = read(NewPage, await json_object(), INVALID), gate.identity().workspace
        numbers, now = monitor_numbers(engine, workspace, body.monitors, INVALID), utc_ms()
        page = StatusPage(body.slug, body.title, body.description, body.published, numbers, workspace, now, now)
        try:
            return reply(page_shape(await pages.add(page)), 201)
        except SlugTaken as error:
            raise _taken(error) from error

    @blueprint.route("/status-pages/<slug>", methods=["PUT", "PATCH"])
    @described("Change a status page", needs=WRITE, body=PageChanges, answers={200: PageShape}, errors=(409,))
    async def change(slug: str) -> Response:
        body, workspace = read(PageChanges, await json_object(without=SHOWN_ONLY), INVALID), gate.identity().workspace
        wanted = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}
        if body.monitors is not UNSET:
            wanted["monitors"] = monitor_numbers(engine, workspace, body.monitors, INVALID)
        try:
            page = await pages.change(workspace, slug, partial(replace, **wanted, updated_ms=utc_ms()))
        except SlugTaken as error:
            raise _taken(error) from error
        if page is None:
            raise _missing()
        return reply(page_shape(page))

    @blueprint.delete("/status-pages/<slug>")
    @described("Delete a status page", needs=WRITE, answers={204: None})
    async def delete(slug: str) -> Response:
        if not await pages.remove(gate.identity().workspace, slug):
            raise _missing()
        return nothing()

    return blueprint


def page_shape(page: StatusPage) -> PageShape:
    return {
        "slug": page.slug,
        "title": page.title,
        "description": page.description,
        "published": page.published,
        "monitors": [monitor_id(number) for number in page.monitors],
        "createdAt": iso(page.created_ms),
        "updatedAt": iso(page.updated_ms),
    }


def _taken(error: SlugTaken) -> ApiError:
    return ApiError(409, f"Choose another slug: {error}", details={"slug": ["Slug is taken"]})


def _missing() -> ApiError:
    return ApiError(404, "There is no such status page")
