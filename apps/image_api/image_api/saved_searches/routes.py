"""HTTP of saved searches."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import CursorQuery, IfMatch, LimitQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.entity_tags import entity_tag
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.http.paths import API_PREFIX
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.saved_searches import schemas, service
from image_api.saved_searches.filters import parse
from image_api.services import Services
from image_core.db import Record

router = APIRouter(prefix="/saved-searches", tags=["images"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
_INVALID: dict[int | str, dict[str, Any]] = {400: {"description": "A filter is unknown or invalid."}}
_CHANGED: dict[int | str, dict[str, Any]] = {412: {"description": "The ETag in `If-Match` is not the current one."}}


def _body(services: Services, row: Record) -> dict[str, Any]:
    return {**dict(row), "images_url": f"{services.settings.base_url}{API_PREFIX}/images?{row['query']}"}


def _whole(services: Services, row: Record, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = entity_tag(row["revision"])
    return _body(services, row)


@router.post(
    "",
    status_code=201,
    response_model=schemas.SavedSearch,
    responses=_INVALID
    | {
        404: {"description": "The team does not exist, or you may not see it."},
        409: {"description": "The team has the maximum number of saved searches, or it is being removed."},
    },
)
async def create_saved_search(
    body: schemas.NewSavedSearch,
    actor: Writer,
    services: ServicesDep,
    transaction: CreationDep,
    response: Response,
    team_id: TeamQuery = None,
) -> Any:
    """Save filters of a list under a name, for everybody in the team. They are checked as the list checks them."""
    most = services.settings.saved_searches_per_team
    filters = parse(body.query)
    saved = await service.create_saved_search(transaction, actor, team_id, body.model_dump(), filters, most)
    response.headers["Location"] = f"{API_PREFIX}/saved-searches/{saved['id']}"
    return _whole(services, saved, response)


@router.get(
    "",
    response_model=schemas.SavedSearchPage,
    responses={404: {"description": "The team does not exist, or you may not see it."}},
)
async def list_saved_searches(
    actor: Reader,
    services: ServicesDep,
    team_id: TeamQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:
    """List the saved searches of a team, newest first."""
    rows = await service.list_searches(services.database, actor, team_id, cursor, limit + 1)
    return page_of(rows, limit, lambda row: _body(services, row))


@router.get("/{saved_search_id}", response_model=schemas.SavedSearch)
async def get_saved_search(saved_search_id: UUID, actor: Reader, services: ServicesDep, response: Response) -> Any:
    """Get a saved search. `images_url` is the list of images that match now."""
    return _whole(services, await service.get_search(services.database, actor, saved_search_id), response)


@router.patch("/{saved_search_id}", response_model=schemas.SavedSearch, responses=_INVALID | _CHANGED)
async def change_saved_search(
    saved_search_id: UUID,
    body: schemas.SavedSearchPatch,
    actor: Writer,
    services: ServicesDep,
    transaction: TransactionDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Change the name or the query of a saved search (JSON merge patch, RFC 7396)."""
    patch = body.model_dump(exclude_unset=True)
    filters = parse(patch["query"]) if "query" in patch else None
    changed = await service.change_search(transaction, actor, saved_search_id, patch, filters, if_match)
    return _whole(services, changed, response)


@router.delete("/{saved_search_id}", status_code=204, responses=_CHANGED)
async def remove_saved_search(
    saved_search_id: UUID, actor: Writer, transaction: TransactionDep, if_match: IfMatch = None
) -> None:
    """Remove a saved search."""
    await service.remove_search(transaction, actor, saved_search_id, if_match)
