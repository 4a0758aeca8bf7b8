"""HTTP of metadata schemas."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import IfMatch, ServicesDep, TransactionDep
from image_api.guarded_route import GuardedRoute, body_limit
from image_api.http.entity_tags import entity_tag
from image_api.metadata_schemas import schemas, service

router = APIRouter(tags=["metadata"], route_class=GuardedRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
TeamId = Annotated[
    UUID | None, Query(description="Team whose schema it is. Only for platform admins; default: the caller's team.")
]
# Fifty fields of 300 values each, of 64 characters.
_MAX_SCHEMA_BYTES = 1024 * 1024
_NO_TEAM: dict[int | str, dict[str, Any]] = {404: {"description": "The team does not exist."}}
_CHANGED = _NO_TEAM | {412: {"description": "The ETag in `If-Match` is not the current one."}}


def _shown(team_id: UUID, row: Any, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = entity_tag(row["revision"])
    return {"team_id": team_id, "fields": orjson.loads(row["fields"]), "updated_at": row["updated_at"]}


@router.get("/metadata-schema", response_model=schemas.MetadataSchema, responses=_NO_TEAM)
async def get_metadata_schema(
    actor: Reader, services: ServicesDep, response: Response, team_id: TeamId = None
) -> dict[str, Any]:
    """Get the metadata fields that a team has declared. The list is empty if any key is allowed."""
    return _shown(*await service.get_schema(services.database, actor, team_id), response)


@router.put(
    "/metadata-schema", response_model=schemas.MetadataSchema, responses=_CHANGED,
    openapi_extra=body_limit(_MAX_SCHEMA_BYTES),
)  # fmt: skip
async def put_metadata_schema(
    body: schemas.NewMetadataSchema,
    actor: Admin,
    transaction: TransactionDep,
    response: Response,
    team_id: TeamId = None,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Declare the metadata fields of a team, one by one or from a template. Existing images are not changed."""
    return _shown(*await service.put_schema(transaction, actor, team_id, body, if_match), response)


@router.delete("/metadata-schema", status_code=204, responses=_NO_TEAM)
async def remove_metadata_schema(
    actor: Admin, transaction: TransactionDep, team_id: TeamId = None, if_match: IfMatch = None
) -> None:
    """Remove a team's metadata schema, so that any key is allowed. Existing images are not changed."""
    await service.remove_schema(transaction, actor, team_id, if_match)
