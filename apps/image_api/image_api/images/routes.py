"""HTTP of images."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireOwnOr, RequireScope
from image_api.dependencies import IfMatch, ServicesDep, TransactionDep, services_of
from image_api.field_types import QueryInteger, described
from image_api.guarded_route import LARGE_BODY_BYTES, body_limit
from image_api.idempotency.route import ClaimDep, IdempotentRoute, StreamClaimDep
from image_api.images import (
    content,
    facets,
    imports,
    metadata_filters,
    repeated_uploads,
    result_filters,
    schemas,
    service,
    uploads,
)
from image_api.images.body import analysis_body, image_body, image_response, json_response
from image_api.images.filter_names import dotted
from image_api.images.filters import INCLUDE_PARAMETER, filter_parameters, parse_filters, parse_include
from image_api.images.upload_source import upload_source
from image_api.metadata_schemas.values import MetadataKey
from image_api.pagination import next_cursor
from image_api.services import Services
from image_api.teams import service as teams
from image_core import errors

MAX_WAIT_SECONDS = 25.0
_NOTICE = "The team had this image already; filename, tags and metadata of this upload changed nothing."

router = APIRouter(tags=["images"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
Uploader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE, uploads=True))]
# Whoever may upload may take its own uploads back.
Deleter = Annotated[Actor, Depends(RequireOwnOr(Scope.IMAGES_DELETE, own=Scope.IMAGES_WRITE))]
Wait = Annotated[float, Query(ge=0, description="Seconds to wait for the image to be ready; more than 25 count as 25.")]
OwnerQuery = Annotated[UUID | None, Query(description="For an admin: the team that gets the image.")]
_PRESET = described(r"^[a-z0-9-]{1,32}$", "Small letters, digits and hyphens, at most 32.")
Preset = Annotated[str, Path(pattern=_PRESET)]

_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "The picture."},
        "filename": {"type": "string", "description": "Instead of the part's own filename."},
        "tags": {"type": "string", "description": "Comma-separated, a JSON array, or repeated."},
        "metadata": {"type": "string", "description": "A JSON object."},
    },
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD_FIELDS = [
    {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
    for name, schema, description in (
        ("filename", {"type": "string"}, "Of the file; before a Content-Disposition."),
        ("tags", {"type": "array", "items": {"type": "string"}}, "Comma-separated, a JSON array, or repeated."),
        ("metadata", {"type": "string"}, "A JSON object."),
    )
]
_UPLOAD_BODY = {
    "parameters": _UPLOAD_FIELDS,
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM}, "image/*": _BINARY, "application/octet-stream": _BINARY},
    },
}
_UPLOAD_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": schemas.UploadedImage, "description": "The team had these bytes already."},
    400: {"description": "The body is broken, or ended early."},
    404: {"description": "There is no such team."},
    408: {"description": "The body took too long to arrive."},
    409: {"description": "The image in the trash that has these bytes came back meanwhile."},
    415: {"description": "Not an image, or not of a kind that is allowed."},
}
_IMPORT_ANSWERS: dict[int | str, dict[str, Any]] = {status: _UPLOAD_ANSWERS[status] for status in (200, 404, 409)}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": _BINARY}, "description": "The bytes."},
    206: {"content": {"image/*": _BINARY}, "description": "The range that was asked for."},
    304: {"description": "The caller's copy is current."},
    409: {"description": "The bytes have not arrived."},
    416: {"description": "No part of the requested range exists."},
}


@router.post(
    "/images", status_code=201, response_model=schemas.UploadedImage, openapi_extra=_UPLOAD_BODY,
    responses=_UPLOAD_ANSWERS,
)  # fmt: skip
@router.post(
    "/upload", status_code=201, response_model=schemas.UploadedImage, openapi_extra=_UPLOAD_BODY,
    responses=_UPLOAD_ANSWERS, operation_id="uploadImageShort", summary="Upload an image",
    description="The same as `POST /api/v1/images`, under a shorter path.",
)  # fmt: skip
async def upload(
    request: Request,
    actor: Uploader,
    services: ServicesDep,
    claim: StreamClaimDep,
    wait: Wait = 0,
    team_id: OwnerQuery = None,
) -> Response:
    """Upload an image: a multipart form with the part `file`, or the bytes themselves as the body."""
    owner_id = await teams.receiving_team(services.database, actor, team_id)
    metrics = request.app.state.metrics
    try:
        source = upload_source(request)
        uploaded = await repeated_uploads.receive(services, actor, owner_id, source, claim)
    except errors.AppError as error:
        metrics.uploads.labels(error.code).inc()
        raise
    return await _uploaded_response(request, services, owner_id, uploaded, wait)


@router.post(
    "/images/import", status_code=201, response_model=schemas.UploadedImage, responses=_IMPORT_ANSWERS,
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)  # fmt: skip
async def import_image(
    body: schemas.ImageImport,
    request: Request,
    actor: Uploader,
    services: ServicesDep,
    _: ClaimDep,
    wait: Wait = 0,
    team_id: OwnerQuery = None,
) -> Response:
    """Import an image by its URL: it is fetched, and from there on treated as an upload."""
    owner_id = await teams.receiving_team(services.database, actor, team_id)
    try:
        imported = await imports.receive(services, actor, owner_id, body)
    except errors.AppError as error:
        request.app.state.metrics.uploads.labels(error.code).inc()
        raise
    return await _uploaded_response(request, services, owner_id, imported, wait)


async def _uploaded_response(
    request: Request, services: Services, owner_id: UUID, uploaded: uploads.Uploaded, wait: float
) -> Response:
    metrics = request.app.state.metrics
    metrics.uploads.labels("duplicate" if uploaded.duplicate else "stored").inc()
    metrics.upload_bytes.inc(0 if uploaded.duplicate else uploaded.image["size_bytes"])
    if wait:
        uploaded = await uploads.wait_until_final(services, owner_id, uploaded, min(wait, MAX_WAIT_SECONDS))
    status, notice = (200, _NOTICE) if uploaded.duplicate else (201, None)
    return image_response(uploaded.image, status, duplicate=uploaded.duplicate, notice=notice)


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
    rows, total = await service.list_images(
        services.database, actor, filters, on_metadata, on_results, services.settings.base_url
    )
    body: dict[str, Any] = {
        "items": [image_body(row) for row in rows[: filters.limit]],
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


@router.get("/images/{image_id}", response_model=schemas.Image, openapi_extra={"parameters": [INCLUDE_PARAMETER]})
async def get_image(image_id: UUID, request: Request, actor: Reader) -> Response:
    """Show an image with its facts and derivatives."""
    services = await services_of(request)
    included = parse_include(request.query_params) if request.query_params else ()
    row = await service.get_image(services.database, actor, image_id, services.settings.base_url)
    if not included:
        return image_response(row)
    analyses = await service.results_of(services.database, row)
    return image_response(row, analyses=[analysis_body(each, image_id) for each in analyses])


@router.patch("/images/{image_id}", response_model=schemas.Image, openapi_extra=body_limit(LARGE_BODY_BYTES))
async def change_image(
    image_id: UUID,
    body: schemas.ImagePatch,
    actor: Writer,
    services: ServicesDep,
    transaction: TransactionDep,
    if_match: IfMatch = None,
) -> Response:
    """Change filename, tags and metadata (JSON merge patch)."""
    patch = body.model_dump(exclude_unset=True)
    base_url = services.settings.base_url
    return image_response(await service.change_image(transaction, actor, image_id, patch, if_match, base_url))


@router.delete("/images/{image_id}", status_code=204)
async def trash_image(image_id: UUID, actor: Deleter, transaction: TransactionDep, if_match: IfMatch = None) -> None:
    """Put an image into the trash, from which it can be restored until the retention is over."""
    await service.trash_image(transaction, actor, image_id, if_match)


@router.post(
    "/images/{image_id}/restore",
    response_model=schemas.Image,
    responses={409: {"description": "It is being purged, or the team has uploaded the same bytes again."}},
)
async def restore_image(image_id: UUID, actor: Deleter, services: ServicesDep, transaction: TransactionDep) -> Response:
    """Take an image out of the trash."""
    bucket, base_url = services.originals.bucket, services.settings.base_url
    return image_response(await service.restore_image(transaction, actor, image_id, bucket, base_url))


@router.get("/images/{image_id}/content", responses=_BYTES, response_class=Response)
@router.head("/images/{image_id}/content", include_in_schema=False)
async def get_content(image_id: UUID, request: Request, actor: Reader, services: ServicesDep) -> Response:
    """Download the original, whole or a range of it."""
    row = await service.find_original(services.database, actor, image_id)
    original = content.Content(
        row["object_name"], row["generation"], row["size_bytes"], row["sha256"], row["content_type"],
        row["filename"] or f"{image_id}.{row['format']}",
    )  # fmt: skip
    return await content.serve(request, services.originals, original)


@router.get("/images/{image_id}/derivatives", response_model=schemas.DerivativeList)
async def list_derivatives(image_id: UUID, actor: Reader, services: ServicesDep) -> Response:
    """List the derivatives of an image."""
    row = await service.get_image(services.database, actor, image_id, services.settings.base_url)
    return json_response({"items": image_body(row)["derivatives"]})


@router.get("/images/{image_id}/derivatives/{preset}", responses=_BYTES, response_class=Response)
@router.head("/images/{image_id}/derivatives/{preset}", include_in_schema=False)
async def get_derivative(
    image_id: UUID, preset: Preset, request: Request, actor: Reader, services: ServicesDep
) -> Response:
    """Download a derivative, whole or a range of it."""
    row = await service.find_derivative(services.database, actor, image_id, preset)
    name = (row["filename"] or str(image_id)).rpartition(".")[0] or str(image_id)
    derivative = content.Content(
        row["object_name"], None, row["size_bytes"], row["sha256"], row["content_type"], f"{name}-{preset}.webp"
    )
    return await content.serve(request, services.derivatives, derivative)
