"""HTTP of operations on many images."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireAnyOf, RequireScope
from image_api.batches import large, schemas, service
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.guarded_route import LARGE_BODY_BYTES, body_limit
from image_api.http.paths import API_PREFIX
from image_api.idempotency.route import ClaimDep, IdempotentRoute
from image_api.images.body import json_response
from image_api.listing.included import page_bodies
from image_api.operations.schemas import StartedOperation
from image_api.saved_searches.filters import parse_named
from image_api.services import Services

router = APIRouter(tags=["images"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Changer = Annotated[
    Actor,
    Depends(RequireAnyOf(Scope.IMAGES_WRITE, Scope.IMAGES_DELETE, Scope.ANALYSES_RUN, Scope.DELIVERY_MANAGE)),
]


@router.post("/images/batch-get", response_model=schemas.FoundImages, openapi_extra=body_limit(LARGE_BODY_BYTES))
async def get_images(body: schemas.ImageIds, actor: Reader, services: ServicesDep) -> Response:
    """Get up to 1,000 images by their ids, in the trash or not.

    An item has what a list shows; `include` adds the rest.
    """
    image_ids = list(dict.fromkeys(body.ids))
    rows = await service.find_images(services.database, actor, image_ids, body.include)
    found = [rows[image_id] for image_id in image_ids if image_id in rows]
    items, storable = await page_bodies(services, actor.visible_team_id, found, body.include)
    return json_response(
        {"items": items, "not_found": [image_id for image_id in image_ids if image_id not in rows]},
        headers=None if storable else {"cache-control": "no-store"},
    )


@router.post(
    "/images/batch",
    response_model=schemas.BatchResult | schemas.BatchEstimate,
    responses={
        202: {"model": StartedOperation, "description": "The batch is an operation, which has begun."},
        400: {"description": "A filter is unknown or invalid, or there is none."},
        404: {"description": "The collection or the team does not exist."},
        409: {"description": "The team has the maximum number of unfinished operations, or it is being removed."},
    },
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)
async def change_images(
    body: schemas.NewBatch, actor: Changer, services: ServicesDep, _: ClaimDep, team_id: TeamQuery = None
) -> Response:
    """Do one thing with many images: trash, restore, tag, set metadata or visibility, collect, or analyze.

    Up to 1,000 images are done at once, and the response has one outcome for each. Images are changed in groups of 100,
    each completely or not at all; after 503, send the request again, and what was done before is `unchanged`.

    With a `filter`, more than 1,000 images or a `budget`, the batch is an operation: the response is 202 with its ID,
    and `validate_only` returns an estimate. Platform admins name the team of an operation with `team_id`.

    `trash` and `restore` require `images:delete`, or `images:write` for your own uploads; `set_visibility` requires
    `delivery:manage`, `analyze` requires `analyses:run`, and everything else `images:write`.
    """
    if body.is_operation:
        return await _begin(services, actor, body, team_id)
    result = await service.run(services, actor, body)
    changed, unchanged, failed = result.count()
    credits_body: dict[str, Any] | None = None
    if body.action is schemas.BatchAction.ANALYZE:
        credits_body = {"cost": result.cost, "left": await service.credits_left(services, result)}
    return json_response(
        {
            "action": body.action,
            "validate_only": body.validate_only,
            "changed": changed,
            "unchanged": unchanged,
            "failed": failed,
            "credits": credits_body,
            "items": [_item(image_id, result.outcomes[image_id]) for image_id in dict.fromkeys(body.ids)],
        }
    )


def _item(image_id: UUID, outcome: service.Outcome) -> dict[str, Any]:
    error = outcome.error
    shown = None if error is None else {"code": error.code, "detail": error.detail or f"{error.title()}."}
    analysis_id = None if outcome.analysis_id is None else str(outcome.analysis_id)
    return {"id": image_id, "outcome": outcome.kind, "error": shown, "analysis_id": analysis_id}


async def _begin(services: Services, actor: Actor, body: schemas.NewBatch, team_id: UUID | None) -> Response:
    filters = None if body.filter is None else parse_named(body.filter)
    if body.validate_only:
        found = await large.estimate(services, actor, body, filters, team_id)
        images = {"images": found.images.number, "at_least": found.images.at_least, "credits": found.credits}
        return json_response({"action": body.action, "validate_only": True, **images})
    operation_id = await large.begin_operation(services, actor, body, filters, team_id)
    location = f"{API_PREFIX}/operations/{operation_id}"
    return json_response({"operation_id": operation_id}, 202, {"location": location})
