"""`/console/images/{image_id}/visibility` and `…/revoke-addresses`: who can load an image's pictures."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.forms import FormDep, read_form
from image_api.console.frame import go_to, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.edit import Writer
from image_api.console.pages.image.step import find_step
from image_api.console.pages.images.sheets import IMAGES
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.images import schemas
from image_api.images import service as images
from image_api.teams import service as teams

router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
Manager = Annotated[Actor, Depends(RequireScope(Scope.DELIVERY_MANAGE))]
_FORM = [Depends(read_form)]
_CHANGE = same_as("PATCH /api/v1/images/{image_id}")
_REVOKE = same_as("POST /api/v1/images/{image_id}/revoke-addresses")


@router.get("/{image_id}/visibility", openapi_extra=_CHANGE)
async def show_visibility(
    image_id: UUID, request: Request, actor: Writer, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Show the form with what each visibility means."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    team = await teams.get_team(services.database, actor, step.row["team_id"])
    return step.page("image_visibility.html", team=team, chosen=step.row["visibility"] or "")


@router.post("/{image_id}/visibility", openapi_extra=_CHANGE)
async def change_visibility(
    image_id: UUID, request: Request, actor: Writer, form: FormDep, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Change the visibility, unless somebody has changed the image since the form was shown."""
    step = await find_step(transaction, actor, request, image_id, team_id)
    team, chosen = await teams.get_team(transaction, actor, step.row["team_id"]), form.get("visibility")
    show_again_if_refused(
        request, lambda refusal: step.page("image_visibility.html", refusal, team=team, chosen=chosen)
    )
    patch = form.parse(schemas.ImagePatch, visibility=chosen or None).model_dump(exclude_unset=True)
    await images.change_image(transaction, actor, image_id, patch, form.seen_version())
    return go_to(step.path, team_id, done="visibility")


@router.get("/{image_id}/revoke-addresses", openapi_extra=_REVOKE)
async def show_revocation(
    image_id: UUID, request: Request, actor: Manager, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Say what it does to revoke the image's addresses."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    return step.page("image_revoke.html")


@router.post("/{image_id}/revoke-addresses", dependencies=_FORM, openapi_extra=_REVOKE)
async def revoke(
    image_id: UUID, request: Request, actor: Manager, transaction: TransactionDep, team_id: TeamQuery = None
) -> Response:
    """Revoke all addresses that were signed so far."""
    step = await find_step(transaction, actor, request, image_id, team_id)
    show_again_if_refused(request, lambda refusal: step.page("image_revoke.html", refusal))
    await images.revoke_addresses(transaction, actor, image_id)
    return go_to(step.path, team_id, done="revoked")
