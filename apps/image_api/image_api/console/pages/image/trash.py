"""`/console/images/{image_id}/trash`: move an image to the trash, and restore it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireAnyOf
from image_api.console.forms import read_form
from image_api.console.frame import go_to, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.step import find_step
from image_api.console.pages.images.sheets import IMAGES
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.images import service as images

router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
# The service knows whose upload it is.
Deleter = Annotated[Actor, Depends(RequireAnyOf(Scope.IMAGES_DELETE, Scope.IMAGES_WRITE))]
_FORM = [Depends(read_form)]
_TRASH = same_as("DELETE /api/v1/images/{image_id}")
_RESTORE = same_as("POST /api/v1/images/{image_id}/restore")


@router.get("/{image_id}/trash", openapi_extra=_TRASH)
async def show(
    image_id: UUID, request: Request, actor: Deleter, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Say what it does to move the image to the trash."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    return step.page("image_trash.html", retention_days=services.settings.trash_retention_days)


@router.post("/{image_id}/trash", dependencies=_FORM, openapi_extra=_TRASH)
async def trash(
    image_id: UUID, request: Request, actor: Deleter, services: ServicesDep, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Move the image to the trash; the page that follows offers to restore it."""
    step = await find_step(transaction, actor, request, image_id, team_id)
    days = services.settings.trash_retention_days
    show_again_if_refused(request, lambda refusal: step.page("image_trash.html", refusal, retention_days=days))
    await images.trash_image(transaction, actor, image_id, None)
    return go_to(step.path, team_id)


@router.get("/{image_id}/restore", openapi_extra=_RESTORE)
async def show_restoring(
    image_id: UUID, request: Request, actor: Deleter, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Say what it does to restore the image."""
    return (await find_step(services.database, actor, request, image_id, team_id)).page("image_restore.html")


@router.post("/{image_id}/restore", dependencies=_FORM, openapi_extra=_RESTORE)
async def restore(
    image_id: UUID, request: Request, actor: Deleter, services: ServicesDep, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Restore the image from the trash."""
    step = await find_step(transaction, actor, request, image_id, team_id)
    show_again_if_refused(request, lambda refusal: step.page("image_restore.html", refusal))
    await images.restore_image(transaction, actor, image_id, services.originals.bucket)
    return go_to(step.path, team_id, done="restored")
