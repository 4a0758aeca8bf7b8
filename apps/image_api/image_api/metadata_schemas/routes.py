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
TeamId = Annotated[UUID | None, Query(description="For an admin: the team whose schema it is.")]
# Fifty fields of 300 values each, of 64 characters.
_MAX_SCHEMA_BYTES = 1024 * 1024
_NO_TEAM: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such team."}}
_CHANGED = _NO_TEAM | {412: {"description": "The ETag in `If-Match` is not the present one."}}


def _shown(team_id: UUID, row: Any, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = entity_tag(row["revision"])
    return {"team_id": team_id, "fields": orjson.loads(row["fields"]), "updated_at": row["updated_at"]}


@router.get("/metadata-schema", response_model=schemas.MetadataSchema, responses=_NO_TEAM)
async def get_metadata_schema(
    actor: Reader, services: ServicesDep, response: Response, team_id: TeamId = None
) -> dict[str, Any]:
    """Show the fields that a team declares for its images; none where metadata are free."""
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
    """Declare the fields of a team's metadata, by themselves or by a template. Images stay as they are."""
    return _shown(*await service.put_schema(transaction, actor, team_id, body, if_match), response)


@router.delete("/metadata-schema", status_code=204, responses=_NO_TEAM)
async def remove_metadata_schema(
    actor: Admin, transaction: TransactionDep, team_id: TeamId = None, if_match: IfMatch = None
) -> None:
    """Make a team's metadata free key/value pairs again. Images stay as they are."""
    await service.remove_schema(transaction, actor, team_id, if_match)
