"""HTTP of exports."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.exports import schemas, service
from image_api.exports.body import manifest_line
from image_api.guarded_route import LARGE_BODY_BYTES, body_limit
from image_api.http.field_types import QueryInteger
from image_api.http.paths import API_PREFIX
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.operations.schemas import StartedOperation
from image_api.saved_searches.filters import parse_named

router = APIRouter(prefix="/exports", tags=["operations"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
_LINES_TYPE = "application/x-ndjson"
_MANIFEST: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One image per line, as a JSON object with `position`, `image_id`, `url`, `expires_at`, `image`,"
        " `code` and `detail`. If there are more, the header `Link` has the URL of the next ones.",
        "content": {_LINES_TYPE: {"schema": {"type": "string"}}},
    },
    404: {"description": "The export does not exist, or this deployment issues no delivery addresses."},
    409: {"description": "The export has not succeeded."},
    503: {"description": "The database or the master secret cannot be read. Wait for `Retry-After`."},
}


@router.post(
    "",
    status_code=202,
    response_model=StartedOperation,
    responses={
        400: {"description": "A filter is unknown or invalid, or there is none."},
        404: {"description": "The collection or the team does not exist, or this deployment issues no addresses."},
        409: {"description": "The team has the maximum of unfinished operations, or it is being removed."},
    },
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)
async def begin_export(
    body: schemas.NewExport,
    actor: Reader,
    services: ServicesDep,
    transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Any:
    """Export the originals of all images that match a filter, or of up to 10,000 by ID, with what is known about them.

    It is an operation. Once it has succeeded, `GET /api/v1/exports/{operation_id}/manifest` lists the images with
    addresses for their download. Images that are not ready are among the operation's failures. Platform admins name the
    team with `team_id`.
    """
    filters = None if body.filter is None else parse_named(body.filter)
    return {"operation_id": await service.begin_export(services, transaction, actor, body, filters, team_id)}


@router.get("/{operation_id}/manifest", response_class=StreamingResponse, responses=_MANIFEST)
async def get_export_manifest(
    operation_id: UUID,
    actor: Reader,
    services: ServicesDep,
    after_position: Annotated[
        QueryInteger, Query(ge=0, le=2**53, description="Only images after this position, for the next ones.")
    ] = 0,
    limit: Annotated[
        QueryInteger, Query(ge=1, le=service.MOST_LINES, description="Maximum number of images in the response.")
    ] = service.MOST_LINES,
) -> StreamingResponse:
    """List the images of an export, as lines of JSON (NDJSON), at most 1,000.

    `url` is the address of the original. It works without a key until `expires_at`, an hour or a little longer after
    the response; reading the line again returns a new one. `image` is as in lists, with facts and metadata. An image
    that cannot be downloaded, for example because it was purged, has `url` and `image` null, and the reason in `code`.
    """
    manifest = await service.read_manifest(services, actor, operation_id, after_position, limit)
    headers = {"cache-control": "no-store"}
    if manifest.next_position is not None:
        following = f"{API_PREFIX}/exports/{operation_id}/manifest?after_position={manifest.next_position}"
        following += "" if limit == service.MOST_LINES else f"&limit={limit}"
        headers["Link"] = f'<{following}>; rel="next"'
    return StreamingResponse(_encode(manifest), media_type=_LINES_TYPE, headers=headers)


async def _encode(manifest: service.Manifest) -> AsyncIterator[bytes]:
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
    async for rows in manifest.chunks:
        lines = (manifest_line(row, manifest.signer, manifest.expiry_minutes) for row in rows)
        yield b"".join(orjson.dumps(line, option=option) for line in lines)
