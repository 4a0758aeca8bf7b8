"""HTTP of images."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireAnyOf, RequireScope
from image_api.dependencies import IfMatch, ServicesDep, TransactionDep, services_of
from image_api.guarded_route import LARGE_BODY_BYTES, body_limit
from image_api.http.field_types import describe_pattern
from image_api.idempotency.route import IdempotentRoute
from image_api.images import content, schemas, service
from image_api.images.body import analysis_body, image_body, image_response, json_response
from image_api.images.delivery import delivery_of
from image_api.images.inclusion import INCLUDE_PARAMETER, parse_include
from image_core.images.object_names import DERIVATIVE_SUFFIX

router = APIRouter(tags=["images"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
# Processing again costs what an upload costs, and is counted as one.
Reprocessor = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE, uploads=True))]
# A caller that may upload may remove its own uploads.
Deleter = Annotated[Actor, Depends(RequireAnyOf(Scope.IMAGES_DELETE, Scope.IMAGES_WRITE))]
_PRESET = describe_pattern(r"^[a-z0-9-]{1,32}$", "Use lowercase letters, digits and hyphens, at most 32.")
Preset = Annotated[str, Path(pattern=_PRESET)]

BINARY = {"schema": {"type": "string", "format": "binary"}}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": BINARY}, "description": "The whole file."},
    206: {"content": {"image/*": BINARY}, "description": "The requested range of the file."},
    304: {"description": "The file has not changed since the caller's copy."},
    409: {"description": "The file has not been received yet."},
    416: {"description": "The requested range is outside the file."},
}


@router.get("/images/{image_id}", response_model=schemas.Image, openapi_extra={"parameters": [INCLUDE_PARAMETER]})
async def get_image(image_id: UUID, request: Request, actor: Reader) -> Response:
    """Get an image with its facts, metadata and derivatives."""
    services = await services_of(request)
    included = parse_include(request.query_params) if request.query_params else ()
    row = await service.get_image(services.database, actor, image_id)
    extra: dict[str, Any] = {}
    if "analyses" in included:
        analyses = await service.find_results(services.database, row)
        extra["analyses"] = [analysis_body(analysis, image_id) for analysis in analyses]
    delivery, storable = await delivery_of(services, row, requested="delivery" in included)
    if delivery is not None or "delivery" in included:
        extra["delivery"] = delivery
    return image_response(row, services.settings.base_url, storable=storable, **extra)


@router.patch("/images/{image_id}", response_model=schemas.Image, openapi_extra=body_limit(LARGE_BODY_BYTES))
async def change_image(
    image_id: UUID,
    body: schemas.ImagePatch,
    actor: Writer,
    services: ServicesDep,
    transaction: TransactionDep,
    if_match: IfMatch = None,
) -> Response:
    """Change what people say of an image, its metadata or its visibility (JSON merge patch, RFC 7396).

    A change of the visibility also requires the scope `delivery:manage`.
    """
    patch = body.model_dump(exclude_unset=True)
    row = await service.change_image(transaction, actor, image_id, patch, if_match)
    return image_response(row, services.settings.base_url)


@router.delete("/images/{image_id}", status_code=204)
async def trash_image(image_id: UUID, actor: Deleter, transaction: TransactionDep, if_match: IfMatch = None) -> None:
    """Move an image to the trash. It can be restored until the retention period ends, 7 days by default.

    With only `images:write`, callers can move their own uploads to the trash.
    """
    await service.trash_image(transaction, actor, image_id, if_match)


@router.post(
    "/images/{image_id}/restore",
    response_model=schemas.Image,
    responses={409: {"description": "The image is being purged, or the team has uploaded the same file again."}},
)
async def restore_image(image_id: UUID, actor: Deleter, services: ServicesDep, transaction: TransactionDep) -> Response:
    """Restore an image from the trash."""
    row = await service.restore_image(transaction, actor, image_id, services.originals.bucket)
    return image_response(row, services.settings.base_url)


@router.post(
    "/images/{image_id}/reprocess",
    response_model=schemas.Image,
    responses={409: {"description": "The image is in the trash, is not processed yet, or has lost its original."}},
)
async def reprocess_image(
    image_id: UUID, actor: Reprocessor, services: ServicesDep, transaction: TransactionDep
) -> Response:
    """Process an image again that is ready or has failed. Its status becomes `stored`, then as after an upload.

    An image that was ready keeps its derivatives until they are replaced, and stays ready if processing fails.
    """
    row = await service.reprocess_image(transaction, actor, image_id, services.originals.bucket)
    return image_response(row, services.settings.base_url)


@router.get("/images/{image_id}/content", responses=_BYTES, response_class=Response)
@router.head("/images/{image_id}/content", include_in_schema=False)
async def get_content(image_id: UUID, request: Request, actor: Reader, services: ServicesDep) -> Response:
    """Download the original file. `Range` and conditional requests are supported."""
    row = await service.find_original(services.database, actor, image_id)
    original = content.Content(
        row["object_name"], row["generation"], row["size_bytes"], row["sha256"], row["content_type"],
        row["filename"] or f"{image_id}.{row['format']}",
    )  # fmt: skip
    return await content.serve(request, services.originals, original)


@router.get("/images/{image_id}/derivatives", response_model=schemas.DerivativeList)
async def list_derivatives(image_id: UUID, actor: Reader, services: ServicesDep) -> Response:
    """List the derivatives of an image, without paging."""
    row = await service.get_image(services.database, actor, image_id)
    return json_response({"items": image_body(row, services.settings.base_url)["derivatives"]})


@router.get("/images/{image_id}/derivatives/{preset}", responses=_BYTES, response_class=Response)
@router.head("/images/{image_id}/derivatives/{preset}", include_in_schema=False)
async def get_derivative(
    image_id: UUID, preset: Preset, request: Request, actor: Reader, services: ServicesDep
) -> Response:
    """Download a derivative, a WebP file. `Range` and conditional requests are supported."""
    row = await service.find_derivative(services.database, actor, image_id, preset)
    name = (row["filename"] or str(image_id)).rpartition(".")[0] or str(image_id)
    filename = f"{name}-{preset}{DERIVATIVE_SUFFIX}"
    derivative = content.Content(
        row["object_name"], None, row["size_bytes"], row["sha256"], row["content_type"], filename
    )
    return await content.serve(request, services.derivatives, derivative)
