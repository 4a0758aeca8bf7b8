"""HTTP of similar images."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep
from image_api.guarded_route import GuardedRoute
from image_api.http.field_types import QueryInteger
from image_api.images.body import summary_body
from image_api.similarity import schemas, service

MAX_IMAGES = 100

router = APIRouter(tags=["images"], route_class=GuardedRoute)
Limit = Annotated[QueryInteger, Query(ge=1, le=MAX_IMAGES, description="Maximum number of images to return.")]
MaxDistance = Annotated[float, Query(ge=0, le=2, allow_inf_nan=False, description="Maximum cosine distance, 0 to 2.")]


@router.get(
    "/images/{image_id}/similar",
    response_model=schemas.SimilarImages,
    responses={409: {"description": "The image is not ready, or has no vector to compare."}},
)
async def list_similar(
    image_id: UUID,
    actor: Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))],
    services: ServicesDep,
    limit: Limit = 20,
    max_distance: MaxDistance = 2.0,
) -> Any:
    """List the images of the team that are most similar to this one, nearest first."""
    base_url = services.settings.base_url
    model, rows = await service.similar_images(services.database, actor, image_id, limit, max_distance)
    return {
        "model": model,
        "items": [
            {
                "image": summary_body(row, base_url),
                "distance": row["distance"],
                "similarity": min(1.0, max(0.0, 1 - row["distance"])),
            }
            for row in rows
        ],
    }
