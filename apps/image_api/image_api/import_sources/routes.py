"""HTTP of import sources."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import CursorQuery, LimitQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.import_sources import schemas, service

router = APIRouter(prefix="/import-sources", tags=["images"], route_class=IdempotentRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
_NO_TEAM: dict[int | str, dict[str, Any]] = {404: {"description": "The team does not exist, or you may not see it."}}


@router.post(
    "",
    status_code=201,
    response_model=schemas.ImportSource,
    responses={
        404: {"description": "The team does not exist."},
        409: {"description": "The team has an import source of this name."},
    },
)
async def add_import_source(
    body: schemas.NewImportSource, actor: Admin, services: ServicesDep, transaction: CreationDep
) -> Any:
    """Let a team copy images from a bucket, or from a folder of it.

    The account of image-tasks must be able to read the bucket as well.
    """
    return dict(await service.add_source(transaction, actor, services.settings, body.model_dump()))


@router.get("", response_model=schemas.ImportSourcePage, responses=_NO_TEAM)
async def list_import_sources(
    actor: Reader,
    services: ServicesDep,
    team_id: TeamQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:
    """List the buckets that a team may copy images from, newest first. Admins see those of all teams by default."""
    rows = await service.list_sources(services.database, actor, team_id, cursor, limit + 1)
    return page_of(rows, limit)


@router.delete("/{import_source_id}", status_code=204)
async def remove_import_source(import_source_id: UUID, actor: Admin, transaction: TransactionDep) -> None:
    """Take an import source from its team. Imports that are under way copy nothing more from it."""
    await service.remove_source(transaction, actor, import_source_id)
