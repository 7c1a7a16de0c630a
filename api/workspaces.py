"""/workspaces: for operators, who run a deployment that several share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from msgspec import Struct
from quart import Blueprint, Response

from peekaping.api.bodies import Name, json_object, query, read
from peekaping.api.describe import OPERATOR, described
from peekaping.api.errors import ApiError
from peekaping.api.listing import Listing
from peekaping.api.shapes import PaginationShape, Time, reply
from peekaping.engine.records import iso
from peekaping.store.errors import NameTaken
from peekaping.store.workspaces import Workspace, Workspaces


class NewWorkspace(Struct):
    name: Name


class WorkspaceShape(TypedDict):
    id: str
    name: str
    createdAt: Time


class WorkspacesShape(TypedDict):
    workspaces: list[WorkspaceShape]
    pagination: PaginationShape


def routes(workspaces: Workspaces, utc_ms: Callable[[], int]) -> Blueprint:
    blueprint = Blueprint("workspaces", __name__)

    @blueprint.get("/workspaces")
    @described("List the workspaces", needs=OPERATOR, query=Listing, answers={200: WorkspacesShape})
    async def show_all() -> Response:
        asked, found = query(Listing), await workspaces.all()
        shown = [_shape(workspace) for workspace in found[asked.first : asked.first + asked.limit]]
        return reply({"workspaces": shown, "pagination": asked.pages(len(found))})

    @blueprint.post("/workspaces")
    @described("Make a workspace", needs=OPERATOR, body=NewWorkspace, answers={201: WorkspaceShape}, errors=(409,))
    async def create() -> Response:
        """Users are added to it with `POST /users` and its id as `workspaceId`."""
        body = read(NewWorkspace, await json_object(), "Invalid workspace")
        try:
            return reply(_shape(await workspaces.add(body.name, utc_ms())), 201)
        except NameTaken as error:
            raise ApiError(409, "Another workspace has this name", details={"name": ["Name is taken"]}) from error

    return blueprint


def _shape(workspace: Workspace) -> WorkspaceShape:
    return {"id": f"workspace-{workspace.id}", "name": workspace.name, "createdAt": iso(workspace.created_ms)}
