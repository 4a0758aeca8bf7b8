"""HTTP of lists of images."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep, services_of
from image_api.http.field_types import QueryInteger
from image_api.idempotency.route import IdempotentRoute
from image_api.images.body import json_response
from image_api.images.inclusion import INCLUDE_PARAMETER, parse_include
from image_api.listing import facets, schemas, service
from image_api.listing.filters.query_string import filter_parameters, parse_all
from image_api.listing.included import page_bodies
from image_api.metadata_schemas.values import MetadataKey

router = APIRouter(tags=["images"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]


@router.get(
    "/images",
    response_model=schemas.ImagePage,
    openapi_extra={"parameters": [*filter_parameters(), INCLUDE_PARAMETER]},
    responses={400: {"description": "A filter or the order is unknown or invalid, or the cursor is of another order."}},
)
async def list_images(request: Request, actor: Reader) -> Response:
    """List images of the team, newest first unless `order_by` is sent. The trash is listed with `status=trashed` only.

    An item has what a grid or a table shows; `include` adds the rest.
    An admin without `team_id` lists the images of all teams.
    """
    # Resolved by hand: another dependency would make this hot path about 5 % slower.
    services, query = await services_of(request), request.query_params
    included = parse_include(query) if query else ()
    asked = parse_all(query, other_parameters=("include",))
    page, total = await service.list_images(services.database, actor, *asked, included)
    items, storable = await page_bodies(services, actor.visible_team_id, page.rows, included)
    body: dict[str, Any] = {"items": items, "next_cursor": page.next_cursor}
    if page.partial:
        body["partial"] = True
    if total is not None:
        body |= {"total": total.number} | ({"at_least": True} if total.at_least else {})
    return json_response(body, headers=None if storable else {"cache-control": "no-store"})


@router.get(
    "/images/facets",
    response_model=facets.Facet,
    openapi_extra={"parameters": filter_parameters(paged=False)},
    responses={400: {"description": "A filter or the field is unknown or invalid."}},
)
async def count_values(
    request: Request,
    actor: Reader,
    services: ServicesDep,
    field: Annotated[MetadataKey, Query(description="Metadata field to count.")],
    top: Annotated[
        QueryInteger, Query(ge=1, le=200, description="Maximum number of values to return, most frequent first.")
    ] = 20,
) -> facets.Facet:
    """Count how often each value of a metadata field occurs in the images that match the filters.

    At most the newest 100000 matching images are counted.
    """
    asked = parse_all(request.query_params, other_parameters=("field", "top"))
    return await facets.count_values(services.database, actor, field, top, *asked)
