"""HTTP of lists of images."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep, services_of
from image_api.http.field_types import QueryInteger
from image_api.http.pagination import next_cursor
from image_api.idempotency.route import IdempotentRoute
from image_api.images.body import image_body, json_response
from image_api.listing import facets, metadata_filters, result_filters, schemas, service
from image_api.listing.filter_names import dotted
from image_api.listing.filters import filter_parameters, parse_filters
from image_api.metadata_schemas.values import MetadataKey

router = APIRouter(tags=["images"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]


@router.get(
    "/images",
    response_model=schemas.ImagePage,
    openapi_extra={"parameters": filter_parameters()},
    responses={400: {"description": "There is no such filter, or it makes no sense."}},
)
async def list_images(request: Request, actor: Reader) -> Response:
    """List the team's images, newest first; those in the trash only with `status=trashed`."""
    # A dependency more would cost the hot reads a twentieth.
    services, filters = await services_of(request), parse_filters(request.query_params)
    named = dotted(request.query_params.multi_items())
    on_metadata = metadata_filters.parse(named)
    on_results = result_filters.parse(named, len(on_metadata))
    rows, total = await service.list_images(services.database, actor, filters, on_metadata, on_results)
    base_url = services.settings.base_url
    body: dict[str, Any] = {
        "items": [image_body(row, base_url) for row in rows[: filters.limit]],
        "next_cursor": next_cursor(rows, filters.limit),
    }
    return json_response(body if total is None else {**body, "total": total})


@router.get(
    "/images/facets",
    response_model=facets.Facet,
    openapi_extra={"parameters": filter_parameters(paged=False)},
    responses={400: {"description": "There is no such filter or field, or it makes no sense."}},
)
async def count_values(
    request: Request,
    actor: Reader,
    services: ServicesDep,
    field: Annotated[MetadataKey, Query(description="A field of the metadata.")],
    top: Annotated[
        QueryInteger, Query(ge=1, le=200, description="How many values to show, the most frequent first.")
    ] = 20,
) -> facets.Facet:
    """Count how often each value of a metadata field occurs among the images that the filters leave."""
    filters = parse_filters(request.query_params, beside=("field", "top"))
    named = dotted(request.query_params.multi_items())
    on_metadata = metadata_filters.parse(named)
    on_results = result_filters.parse(named, len(on_metadata))
    return await facets.count_values(services.database, actor, field, top, filters, on_metadata, on_results)
