"""HTTP of imports of many images."""

from typing import Annotated, Any
from uuid import UUID

import anyio.to_thread
import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep
from image_api.guarded_route import body_limit
from image_api.http import json_bodies
from image_api.http.field_types import QueryInteger
from image_api.http.paths import API_PREFIX
from image_api.http.validation import request_invalid
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.imports import service
from image_api.imports.lines import MOST_BYTES, items_of
from image_api.imports.schemas import NewImport
from image_api.operations.schemas import StartedOperation
from image_api.uploads.routes import OwnerQuery
from image_core import errors

router = APIRouter(prefix="/imports", tags=["operations"], route_class=IdempotentRoute)
Importer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
_LINES_TYPE = "application/x-ndjson"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewImport.model_json_schema()},
            _LINES_TYPE: {
                "schema": {
                    "type": "string",
                    "description": "One JSON object per line, with `url` and, as in `POST /api/v1/images/import`,"
                    " `filename`, `tags` and `metadata`: at most 10,000 lines of 8 KiB each.",
                },
                "example": '{"url": "https://example.org/photos/fjord.jpg", "tags": ["fjord"]}\n',
            },
        },
    }
}
_REPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One item per line, as a JSON object with `position`, `source`, `state`, `image_id`, `code` and"
        " `detail`. If there are more, the header `Link` has the URL of the next ones.",
        "content": {_LINES_TYPE: {"schema": {"type": "string"}}},
    }
}


async def _read_body(request: Request) -> bytes:
    """Return the body, before a transaction is opened."""
    return await request.body()


@router.post(
    "",
    status_code=202,
    response_model=StartedOperation,
    openapi_extra=_BODY | body_limit(MOST_BYTES),
    responses={
        404: {"description": "The team does not exist."},
        409: {"description": "The team has the maximum of unfinished operations, or it is being removed."},
        413: {"description": "The request body is too large."},
        415: {"description": "The body is neither JSON nor lines of JSON."},
    },
)
async def begin_import(
    request: Request,
    actor: Importer,
    body: Annotated[bytes, Depends(_read_body)],
    transaction: CreationDep,
    team_id: OwnerQuery = None,
) -> Any:
    """Import many images: from a bucket that was granted to the team, or from a list of URLs.

    It is an operation. `GET /api/v1/imports/{operation_id}/report` tells what became of each object or line.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == _LINES_TYPE:
        items = await anyio.to_thread.run_sync(items_of, body)
        return {"operation_id": await service.import_urls(transaction, actor, team_id, items)}
    if media_type != "application/json":
        raise errors.MediaTypeNotSupported(
            f"Media type not supported. Send application/json with `source`, or {_LINES_TYPE} with a URL in each line."
        )
    try:
        new = NewImport.model_validate(await anyio.to_thread.run_sync(json_bodies.parse, body))
    except ValidationError as error:
        raise request_invalid(error.errors()) from error
    return {"operation_id": await service.import_bucket(transaction, actor, team_id, new)}


@router.get("/{operation_id}/report", response_class=Response, responses=_REPORT)
async def list_import_report(
    operation_id: UUID,
    actor: Reader,
    services: ServicesDep,
    after_position: Annotated[
        QueryInteger, Query(ge=0, le=2**53, description="Only items after this position, for the next ones.")
    ] = 0,
) -> Response:
    """List what became of each object or line of an import, as lines of JSON (NDJSON), at most 1,000.

    `state` is `waiting`, `in_progress`, `done` or `failed`. An image that the team had already is `done` with the code
    `duplicate`, and `image_id` is that image.
    """
    lines = await service.list_report(services.database, actor, operation_id, after_position)
    headers = {}
    if len(lines) == service.MOST_REPORTED:
        following = f"{API_PREFIX}/imports/{operation_id}/report?after_position={lines[-1]['position']}"
        headers["Link"] = f'<{following}>; rel="next"'
    return Response(b"".join(orjson.dumps(line) + b"\n" for line in lines), media_type=_LINES_TYPE, headers=headers)
