"""`/console/images/{image_id}/similar`: near-duplicates of an image, and images that look like it."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from image_api.batches import service as batches
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.step import find_step
from image_api.console.pages.images.page import Reader, tile_of
from image_api.console.pages.images.sheets import IMAGES
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.duplicates import service as duplicates
from image_api.similarity import service
from image_core import errors
from image_core.db import Record
from image_core.images.similarity import MAX_HASH_DISTANCE

_MOST_SHOWN = 24
_ANY_DISTANCE = 2.0
router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)


@router.get(
    "/{image_id}/similar",
    openapi_extra=same_as(
        "GET /api/v1/images/{image_id}/similar", "GET /api/v1/duplicates", "POST /api/v1/images/batch-get"
    ),
)
async def show(
    image_id: UUID, request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Show the images that look most like one, nearest first, with its near-duplicates before them."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    found = await duplicates.list_duplicates(
        services.database, actor, step.row["team_id"], max_distance=MAX_HASH_DISTANCE, cursor=None, limit=1,
        image_id=image_id,
    )  # fmt: skip
    near = _near(found.groups, image_id)
    similar: list[Record] = []
    why_not = None
    try:
        _, similar = await service.similar_images(services.database, actor, image_id, _MOST_SHOWN, _ANY_DISTANCE)
    except (errors.ImageNotComparable, errors.ImageNotFound) as error:
        why_not = error.detail
    shown_ids = [*near, *(row["id"] for row in similar if row["id"] not in near)]
    rows = await batches.find_images(services.database, actor, shown_ids, ("delivery",)) if shown_ids else {}
    looking_alike = [each for each in shown_ids if each in rows and each not in near]
    tiles = {each: await tile_of(services, row) for each, row in rows.items()}
    return step.page(
        "image_similar.html", why_not=why_not, similar=[tiles[each] for each in looking_alike],
        near=[(tiles[each], distance) for each, distance in near.items() if each in tiles],
    )  # fmt: skip


def _near(groups: list[dict[str, Any]], image_id: UUID) -> dict[UUID, int]:
    """Return the near-duplicates of an image by id, with how many bits of their hashes differ."""
    pairs = [each for group in groups for each in group["distances"] if image_id in each["image_ids"]]
    others = {next(other for other in each["image_ids"] if other != image_id): each["distance"] for each in pairs}
    return dict(sorted(others.items(), key=lambda each: each[1])[:_MOST_SHOWN])
