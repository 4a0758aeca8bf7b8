"""`/console/images/export`: an export of all images that match, which is an operation."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.forms import FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.batch_forms import filter_of
from image_api.console.pages.images.sheets import IMAGES
from image_api.console.pages.team.operations import operation_path
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.exports import service
from image_api.exports.schemas import NewExport
from image_api.idempotency.route import CreationDep
from image_api.listing.totals import Total
from image_api.saved_searches.filters import parse_named

EXPORT = f"{IMAGES}/export"
router = APIRouter(prefix=EXPORT, include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
_EXPORT = same_as("POST /api/v1/exports")


def _page(
    request: Request, team_id: UUID | None, query: str, found: Total | None, refusal: Refusal | None = None
) -> Response:
    values = {"query": query, "filter": filter_of(query), "found": found, "refusal": refusal}
    return render(request, "export_new.html", values, team_id=team_id)


@router.get("", openapi_extra=_EXPORT)
async def show(
    request: Request, actor: Reader, services: ServicesDep, query: Annotated[str, Query(max_length=4000)] = "",
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Say what an export of the images in a list would have."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Images")
    new = NewExport.model_validate({"filter": filter_of(query)})
    found = await service.count_matching(services, actor, new, parse_named(new.filter), team_id)
    return _page(request, team_id, query, found)


@router.post("", openapi_extra=_EXPORT)
async def begin(
    request: Request, actor: Reader, form: FormDep, services: ServicesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Begin the export, and show its operation."""
    query = form.get("query")
    show_again_if_refused(request, lambda refusal: _page(request, team_id, query, None, refusal))
    new = NewExport.model_validate({"filter": filter_of(query)})
    filters = parse_named(new.filter)
    operation_id = await service.begin_export(services, transaction, actor, new, filters, team_id)
    return go_to(operation_path(operation_id), team_id)
