"""`/console/images/{image_id}/reprocess`: process an image again, by a button on its page."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.forms import read_form
from image_api.console.frame import go_to, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.step import find_step
from image_api.console.pages.images.sheets import IMAGES
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.images import service as images

router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
Reprocessor = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE, uploads=True))]


@router.post(
    "/{image_id}/reprocess",
    dependencies=[Depends(read_form)],
    openapi_extra=same_as("POST /api/v1/images/{image_id}/reprocess"),
)
async def reprocess(
    image_id: UUID, request: Request, actor: Reprocessor, services: ServicesDep, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Process the image again."""
    step = await find_step(transaction, actor, request, image_id, team_id)
    show_again_if_refused(request, lambda refusal: step.page("image_reprocess.html", refusal))
    await images.reprocess_image(transaction, actor, image_id, services.originals.bucket)
    return go_to(step.path, team_id, done="queued")
