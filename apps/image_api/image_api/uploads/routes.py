"""HTTP of uploads and imports."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep
from image_api.guarded_route import LARGE_BODY_BYTES, body_limit
from image_api.idempotency.route import ClaimDep, IdempotentRoute, StreamClaimDep
from image_api.images.body import image_response
from image_api.images.routes import BINARY
from image_api.services import Services
from image_api.teams import service as teams
from image_api.uploads import imports, schemas
from image_api.uploads import repeated as repeated_uploads
from image_api.uploads import service as uploads
from image_api.uploads.source import upload_source
from image_core import errors

MAX_WAIT_SECONDS = 25.0
DUPLICATE_NOTICE = "The team already had this image. The filename, tags and metadata of this upload were ignored."

router = APIRouter(tags=["images"], route_class=IdempotentRoute)
Uploader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE, uploads=True))]
Wait = Annotated[
    float, Query(ge=0, description="Seconds to wait for the image to become ready. Values above 25 count as 25.")
]
OwnerQuery = Annotated[
    UUID | None,
    Query(description="Team that the image is stored for. Only for platform admins; default: the caller's team."),
]

_TAGS = "Tags, at most 50 of 64 characters each: comma-separated, as a JSON array, or as a repeated field."
_METADATA = (
    "Metadata as a JSON object: at most 50 keys of 64 characters; a value is text of up to 512 characters, a number or "
    "a boolean."
)
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "The image file."},
        "filename": {"type": "string", "description": "Filename, instead of the one of the part."},
        "tags": {"type": "string", "description": _TAGS},
        "metadata": {"type": "string", "description": _METADATA},
    },
}
_UPLOAD_FIELDS = [
    {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
    for name, schema, description in (
        ("filename", {"type": "string"}, "Filename. Takes precedence over the one in `Content-Disposition`."),
        ("tags", {"type": "array", "items": {"type": "string"}}, _TAGS),
        ("metadata", {"type": "string"}, _METADATA),
    )
]
_UPLOAD_BODY = {
    "parameters": _UPLOAD_FIELDS,
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM}, "image/*": BINARY, "application/octet-stream": BINARY},
    },
}
_UPLOAD_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": schemas.UploadedImage,
        "description": "The team already has this file. The response shows the existing image.",
    },
    400: {"description": "The request body is malformed or incomplete."},
    404: {"description": "The team does not exist."},
    408: {"description": "The request body took too long to arrive."},
    409: {"description": "Another request restored an image with the same bytes from the trash. Try again."},
    415: {"description": "The file is not an image, or its format is not allowed."},
}
_IMPORT_ANSWERS: dict[int | str, dict[str, Any]] = {status: _UPLOAD_ANSWERS[status] for status in (200, 404, 409)}


@router.post(
    "/images", status_code=201, response_model=schemas.UploadedImage, openapi_extra=_UPLOAD_BODY,
    responses=_UPLOAD_ANSWERS,
)  # fmt: skip
@router.post(
    "/upload", status_code=201, response_model=schemas.UploadedImage, openapi_extra=_UPLOAD_BODY,
    responses=_UPLOAD_ANSWERS, operation_id="uploadImageShort",
    description="The same operation as `POST /api/v1/images`, at a shorter path.",
)  # fmt: skip
async def upload(
    request: Request,
    actor: Uploader,
    services: ServicesDep,
    claim: StreamClaimDep,
    wait: Wait = 0,
    team_id: OwnerQuery = None,
) -> Response:
    """Upload an image, as a multipart form with the part `file` or as the raw request body.

    Returns 201 with the new image, or 200 with the existing image if the team already has a file with the same bytes.
    Processing continues after the response; set `wait` to wait for it.
    """
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
    """Download an image from a public http or https URL and store it like an upload."""
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
    request.app.state.metrics.count_upload(uploaded.image["size_bytes"], duplicate=uploaded.duplicate)
    if wait:
        uploaded = await uploads.wait_until_final(services, owner_id, uploaded, min(wait, MAX_WAIT_SECONDS))
    status, notice = (200, DUPLICATE_NOTICE) if uploaded.duplicate else (201, None)
    base_url = services.settings.base_url
    return image_response(uploaded.image, base_url, status, duplicate=uploaded.duplicate, notice=notice)
