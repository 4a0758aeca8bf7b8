"""`/console/images/export`: an export of images that are chosen, or of all that match, which is an operation."""

from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.batches import service as batches
from image_api.batches.schemas import MOST_IDS
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.batch import MOST_TICKED, list_of
from image_api.console.pages.images.batch_forms import Failure, filter_of, joined
from image_api.console.pages.images.sheets import IMAGES
from image_api.console.pages.team.operations import operation_path
from image_api.console.pictures import name_of
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.exports import service
from image_api.exports.schemas import NewExport
from image_api.idempotency.route import ClaimDep, CreationDep
from image_api.listing.filters.pairs import Filters
from image_api.saved_searches.filters import parse_named
from image_api.services import Services

EXPORT = f"{IMAGES}/export"
router = APIRouter(prefix=EXPORT, include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
_EXPORT = same_as("POST /api/v1/exports")


class _Asked(NamedTuple):
    """What a form asks for.

    Attributes:
        new: the export.
        filters: those of the export; None if its images are named.
        cut: the number of images beyond the maximum, which are left out.
        form: the form.
    """

    new: NewExport
    filters: Filters | None
    cut: int
    form: Form


def _read(form: Form) -> _Asked:
    """Return the export for which a form asks: of images by their ids in one field, or of all that match its query.

    Raises:
        errors.RequestInvalid: There are no ids, or one of them is none.
        errors.FilterUnknown, errors.FilterInvalid.
    """
    if form.get("all"):
        filters = filter_of(form.get("query"))
        return _Asked(NewExport.model_validate({"filter": filters}), parse_named(filters), 0, form)
    sent = list(dict.fromkeys(form.get("image_ids").split()))
    return _Asked(form.parse(NewExport, image_ids=sent[:MOST_IDS]), None, max(0, len(sent) - MOST_IDS), form)


def _page(
    request: Request, team_id: UUID | None, asked: _Asked, found: service.Preview | None,
    failures: list[Failure] | None = None, refusal: Refusal | None = None,
) -> Response:  # fmt: skip
    values = {
        "new": asked.new, "body": asked.new.model_dump(mode="json", exclude_unset=True), "cut": asked.cut,
        "image_ids": joined(asked.new.image_ids or []), "query": asked.form.get("query"), "list": list_of(asked.form),
        "found": found, "failures": failures or [], "refusal": refusal,
    }  # fmt: skip
    return render(request, "export_new.html", values, team_id=team_id)


async def _check(request: Request, services: Services, actor: Actor, form: Form, team_id: UUID | None) -> Response:
    """Say what an export would have."""
    asked = _read(form)
    found = await service.preview(services, actor, asked.new, asked.filters, team_id)
    rows = await batches.find_images(services.database, actor, found.refused, ())
    failures = [
        Failure(
            image_id, name_of(rows[image_id]) if image_id in rows else str(image_id),
            error.code, error.detail or f"{error.title()}.",
        )
        for image_id, error in found.refused.items()
    ]  # fmt: skip
    return _page(request, team_id, asked, found, failures)


@router.get("", openapi_extra=_EXPORT)
async def show(
    request: Request, actor: Reader, services: ServicesDep,
    image_id: Annotated[list[UUID], Query(max_length=MOST_TICKED, default_factory=list)],
    query: Annotated[str, Query(max_length=4000)] = "", all: bool = False,  # noqa: A002
    chosen: bool = False, team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Begin with the images that are ticked in the list, or with all that match."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Images")
    is_named = chosen and not all
    form = Form((("image_ids", joined(image_id)) if is_named else ("all", "1"), ("query", query)))
    if is_named and not image_id:
        return render(request, "batch_of_none.html", {"list": list_of(form)}, team_id=team_id)
    return await _check(request, services, actor, form, team_id)


@router.post("", openapi_extra=_EXPORT)
async def check(
    request: Request, actor: Reader, services: ServicesDep, form: FormDep, _: ClaimDep, team_id: TeamQuery = None
) -> Response:
    """Say what an export of images would have whose ids are too many for an address."""
    return await _check(request, services, actor, form, team_id)


@router.post("/begin", openapi_extra=_EXPORT)
async def begin(
    request: Request, actor: Reader, form: FormDep, services: ServicesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Begin the export, and show its operation."""
    asked = _read(form)
    show_again_if_refused(request, lambda refusal: _page(request, team_id, asked, None, refusal=refusal))
    operation_id = await service.begin_export(services, transaction, actor, asked.new, asked.filters, team_id)
    return go_to(operation_path(operation_id), team_id)
