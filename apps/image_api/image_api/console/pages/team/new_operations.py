"""Forms that begin operations: to import many images, and for admins to process failed ones again."""

from typing import Annotated
from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.team.operations import OPERATIONS, operation_path
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.guarded_route import body_limit
from image_api.idempotency.route import CreationDep
from image_api.import_sources import service as import_sources
from image_api.imports import service as imports
from image_api.imports.lines import MOST_LINES, items_of
from image_api.imports.schemas import NewImport
from image_api.reprocessing import service as reprocessing
from image_api.reprocessing.schemas import NewReprocessing
from image_core.db import Record

MOST_SOURCES = 200
_MOST_FORM_BYTES = 1024 * 1024
_FLAGS = ("tags_from_folders", "metadata_from_objects", "include_resized")
router = APIRouter(prefix=OPERATIONS, include_in_schema=False, route_class=PageRoute)
Importer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
_IMPORT = same_as("POST /api/v1/imports")
_REPROCESS = same_as("POST /api/v1/admin/reprocess")
_PURPOSE = "that the images will belong to"


async def _sources(services: ServicesDep, actor: Importer, team_id: TeamQuery = None) -> list[Record]:
    """Return the sources that the form offers; none before an admin has chosen a team."""
    if lacks_team(actor, team_id):
        return []
    return await import_sources.list_sources(services.database, actor, team_id, None, MOST_SOURCES)


SourcesDep = Annotated[list[Record], Depends(_sources)]


def _import_page(
    request: Request, team_id: UUID | None, sources: list[Record], form: Form, refusal: Refusal | None
) -> Response:
    values = {
        "sources": sources, "refusal": refusal, "most_lines": MOST_LINES,
        "sent": {name: form.get(name) for name in ("source", "prefix", "tags", "lines", *_FLAGS)},
    }  # fmt: skip
    return render(request, "operation_import.html", values, team_id=team_id)


@router.get("/import", openapi_extra=_IMPORT)
async def show_import(
    request: Request, actor: Importer, sources: SourcesDep, team_id: TeamQuery = None
) -> Response:  # fmt: skip
    """Show the forms of imports: from a granted source, and from a list of URLs."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Import images", _PURPOSE)
    return _import_page(request, team_id, sources, Form(()), None)


@router.post("/import", openapi_extra=_IMPORT)
async def import_bucket(
    request: Request, actor: Importer, form: FormDep, sources: SourcesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Begin to copy the objects of a granted source, and show the operation."""
    show_again_if_refused(request, lambda refusal: _import_page(request, team_id, sources, form, refusal))
    tags = [tag.strip() for tag in form.text("tags").split(",") if tag.strip()]
    flags = {name: form.get(name) == "true" for name in _FLAGS}
    new = form.parse(NewImport, "source", "prefix", tags=tags, **flags)
    return go_to(operation_path(await imports.import_bucket(transaction, actor, team_id, new)), team_id)


@router.post("/import-urls", openapi_extra=_IMPORT | body_limit(_MOST_FORM_BYTES))
async def import_urls(
    request: Request, actor: Importer, form: FormDep, sources: SourcesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Begin to fetch a list of URLs, and show the operation."""
    show_again_if_refused(request, lambda refusal: _import_page(request, team_id, sources, form, refusal))
    items = await anyio.to_thread.run_sync(items_of, form.get("lines").encode())
    return go_to(operation_path(await imports.import_urls(transaction, actor, team_id, items)), team_id)


def _reprocess_page(request: Request, team_id: UUID | None, form: Form, refusal: Refusal | None) -> Response:
    values = {"refusal": refusal, "code": form.get("code")}
    return render(request, "operation_reprocess.html", values, team_id=team_id)


@router.get("/reprocess", openapi_extra=_REPROCESS)
async def show_reprocess(request: Request, actor: Admin, team_id: TeamQuery = None) -> Response:
    """Say what processing failed images again does; without a team it is about those of all teams."""
    del actor  # Asked for its right.
    return _reprocess_page(request, team_id, Form(()), None)


@router.post("/reprocess", openapi_extra=_REPROCESS)
async def reprocess(
    request: Request, actor: Admin, form: FormDep, transaction: CreationDep, team_id: TeamQuery = None
) -> Response:
    """Begin to process failed images again, and show the operation."""
    show_again_if_refused(request, lambda refusal: _reprocess_page(request, team_id, form, refusal))
    wanted = form.parse(NewReprocessing, failed=True, code=form.text("code") or None, team_id=team_id)
    return go_to(operation_path(await reprocessing.start(transaction, actor, wanted)), team_id)
