"""HTTP of the timeline."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep
from image_api.http.field_types import QueryInteger
from image_api.idempotency.route import IdempotentRoute
from image_api.images.body import json_response
from image_api.listing.filters.query_string import filter_parameters, parse_all
from image_api.listing.orders import MAX_CURSOR_LENGTH
from image_api.listing.timeline import service
from image_api.listing.timeline.schemas import AskedMonth, MonthOfImages, Timeline

router = APIRouter(tags=["images"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
_MAX_IMAGES = 2000
_OrderQuery = Annotated[
    Literal["taken_at desc", "created_at desc"],
    Query(description="Whether images belong to the month of the photograph, or to that of the upload, in UTC."),
]


@router.get(
    "/images/timeline",
    response_model=Timeline,
    response_model_exclude_defaults=True,
    openapi_extra={"parameters": filter_parameters(paged=False)},
    responses={400: {"description": "A filter is unknown or invalid, or an admin named no team."}},
)
async def get_timeline(
    request: Request,
    actor: Reader,
    services: ServicesDep,
    before: Annotated[AskedMonth | None, Query(description="Only months before this one.")] = None,
    order_by: _OrderQuery = "taken_at desc",
) -> Timeline:
    """Count images that match the filters by the month in which they were photographed or uploaded, latest first.

    For photographs the camera's clock counts, and the time of upload in UTC where that is not known.
    """
    asked = parse_all(request.query_params, other_parameters=("before", "order_by"))
    return await service.count_months(services.database, actor, before, service.ORDERS[order_by], *asked)


@router.get(
    "/images/timeline/{month}",
    response_model=MonthOfImages,
    openapi_extra={"parameters": filter_parameters(paged=False)},
    responses={400: {"description": "A filter is unknown or invalid, or an admin named no team."}},
)
async def get_timeline_month(
    request: Request,
    actor: Reader,
    services: ServicesDep,
    month: AskedMonth,
    after: Annotated[
        str | None, Query(max_length=MAX_CURSOR_LENGTH, description="`next_after` of the previous answer.")
    ] = None,
    limit: Annotated[QueryInteger, Query(ge=1, le=_MAX_IMAGES, description="Maximum number of images.")] = _MAX_IMAGES,
    order_by: _OrderQuery = "taken_at desc",
) -> Response:
    """List what a grid needs of the images of a month, latest first, in columns."""
    asked = parse_all(request.query_params, other_parameters=("after", "limit", "order_by"))
    page = await service.list_month(services.database, actor, month, service.ORDERS[order_by], limit, after, *asked)
    body: dict[str, Any] = {
        "id": [str(row["id"]) for row in page.rows],
        "ratio": [row["ratio"] and round(row["ratio"], 4) for row in page.rows],
        "placeholder": [row["placeholder"] for row in page.rows],
        "status": [row["status"] for row in page.rows],
        "next_after": page.next_cursor,
    }
    return json_response(body | ({"partial": True} if page.partial else {}))
