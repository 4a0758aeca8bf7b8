"""HTTP of direct uploads."""

import shlex
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireUploader
from image_api.dependencies import ServicesDep
from image_api.direct_uploads import schemas, service
from image_api.guarded_route import LARGE_BODY_BYTES, body_limit
from image_api.http.paths import API_PREFIX
from image_api.idempotency.route import ClaimDep, IdempotentRoute
from image_api.images.body import image_response, json_response
from image_api.teams import service as teams
from image_api.uploads.routes import DUPLICATE_NOTICE, OwnerQuery
from image_api.uploads.schemas import UploadedImage
from image_api.uploads.service import Uploaded
from image_core import errors
from image_core.storage.protocol import SESSION_UNIT_BYTES

router = APIRouter(prefix="/uploads", tags=["uploads"], route_class=IdempotentRoute)
Opener = Annotated[Actor, Depends(RequireUploader(Scope.IMAGES_WRITE, uploads=True))]
Uploader = Annotated[Actor, Depends(RequireUploader(Scope.IMAGES_WRITE))]
_METHOD = "PUT"
_SECRET = {"cache-control": "no-store"}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"description": "The upload does not exist."}}


@router.post(
    "",
    status_code=201,
    response_model=schemas.OpenedUpload,
    responses={
        200: {"model": UploadedImage, "description": "The team already has this file. Nothing needs to be sent."},
        404: {"description": "The team does not exist, or this deployment accepts no direct uploads."},
        409: {"description": "Another request restored an image with the same bytes from the trash. Try again."},
        415: {"description": "The format is not allowed."},
    },
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)
async def open_upload(
    body: schemas.NewUpload,
    request: Request,
    actor: Opener,
    services: ServicesDep,
    _: ClaimDep,
    team_id: OwnerQuery = None,
) -> Response:
    """Open an upload of a file that the client sends directly to storage: larger files, and files from browsers.

    The response has an address that takes the file, whole with one request or in pieces with `Content-Range`. Whoever
    knows the address can send the file. If the team already has a file with this `sha256`, the response is 200 with the
    existing image.
    """
    token = _token_of(request)
    owner_id = await teams.receiving_team(services.database, actor, token.team_id if token else team_id)
    counts = request.app.state.metrics.uploads
    try:
        if token is not None:
            opened: service.Opened | Uploaded = await service.open_upload_by_token(services, actor, token, body)
        else:
            opened = await service.open_upload(services, actor, owner_id, body)
    except errors.AppError as error:
        counts.labels(error.code).inc()
        raise
    if not isinstance(opened, service.Opened):
        counts.labels("duplicate").inc()
        base_url = services.settings.base_url
        return image_response(opened.image, base_url, duplicate=True, notice=DUPLICATE_NOTICE)
    counts.labels("opened").inc()
    headers = {"location": f"{API_PREFIX}/uploads/{opened.upload_id}"} | _SECRET
    return json_response(_opened_body(opened, body, shows_image=token is None), 201, headers)


def _token_of(request: Request) -> service.Token | None:
    """Return what the holder of an upload token may do; None for a caller with credentials of its own."""
    row = getattr(request.state, "upload_token", None)
    if row is None:
        return None
    metadata = orjson.loads(row["metadata"])
    return service.Token(row["id"], row["team_id"], row["max_bytes"], row["tags"], metadata)


def _opened_body(opened: service.Opened, body: schemas.NewUpload, *, shows_image: bool) -> dict[str, Any]:
    sent: dict[str, str] = {"Content-Type": body.content_type}
    return {
        "upload_id": str(opened.upload_id),
        "image_id": str(opened.upload_id) if shows_image else None,
        "state": schemas.UploadState.OPEN,
        "expires_at": opened.expires_at,
        "url": opened.address,
        "method": _METHOD,
        "headers": sent,
        "chunk_multiple": SESSION_UNIT_BYTES,
        # Only pages of the origin can send to a session that has one.
        "curl": None if body.origin else _curl(opened.address, sent, body.filename or "FILE"),
    }


def _curl(address: str, headers: dict[str, str], filename: str) -> str:
    options = [option for name, value in headers.items() for option in ("-H", f"{name}: {value}")]
    return shlex.join(["curl", "-X", _METHOD, *options, "--upload-file", filename, address])


@router.get("/{upload_id}", response_model=schemas.Upload, responses=_NOT_FOUND)
async def get_upload(upload_id: UUID, request: Request, actor: Uploader, services: ServicesDep) -> Response:
    """Get a direct upload, and how many of its bytes have arrived.

    A client that could not read the response to its last bytes asks here instead of sending them again.
    """
    token = _token_of(request)
    row, state, received_bytes = await service.find_upload(services, actor, upload_id, token and token.token_id)
    failure = {"code": row["failure_code"], "message": row["failure_message"]}
    is_open = state is schemas.UploadState.OPEN
    shows_image = token is None
    return json_response(
        {
            "upload_id": str(row["id"]),
            "image_id": str(row["duplicate_of"] or row["id"]) if shows_image else None,
            "state": state,
            "status": row["status"] if shows_image else None,
            "size_bytes": row["size_bytes"],
            "received_bytes": received_bytes,
            "expires_at": row["deadline_at"] if is_open else None,
            "failure": failure if row["failure_code"] and shows_image else None,
        },
        headers=_SECRET,
    )


@router.delete(
    "/{upload_id}",
    status_code=204,
    responses={**_NOT_FOUND, 409: {"description": "The file has arrived: delete the image instead."}},
)
async def cancel_upload(upload_id: UUID, request: Request, actor: Uploader, services: ServicesDep) -> Response:
    """Cancel a direct upload, so that it no longer counts against the quota. The address stops working."""
    token = _token_of(request)
    await service.cancel_upload(services, actor, upload_id, token and token.token_id)
    return Response(status_code=204)
