"""`/console/images/{image_id}/rating`: rate an image by a form on its page."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from image_api.console.forms import FormDep
from image_api.console.frame import go_to, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.edit import RATINGS, Writer, read_rating
from image_api.console.pages.image.step import find_step
from image_api.console.pages.images.sheets import IMAGES
from image_api.dependencies import TeamQuery, TransactionDep
from image_api.images import schemas
from image_api.images import service as images

router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)


@router.post("/{image_id}/rating", openapi_extra=same_as("PATCH /api/v1/images/{image_id}"))
async def rate(
    image_id: UUID, request: Request, actor: Writer, form: FormDep, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Change the rating, unless somebody has changed the image since its page was shown."""
    step, chosen = await find_step(transaction, actor, request, image_id, team_id), form.get("rating")
    show_again_if_refused(
        request, lambda refusal: step.page("image_rating.html", refusal, ratings=RATINGS, chosen=chosen)
    )
    patch = form.parse(schemas.ImagePatch, rating=read_rating(chosen)).model_dump(exclude_unset=True)
    await images.change_image(transaction, actor, image_id, patch, form.seen_version())
    return go_to(step.path, team_id, done="saved")
