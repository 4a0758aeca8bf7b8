"""HTTP of teams."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import CursorQuery, IfMatch, LimitQuery, ServicesDep, TransactionDep
from image_api.http.entity_tags import entity_tag
from image_api.http.field_types import QueryInteger
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.teams import schemas, service

router = APIRouter(tags=["teams"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope())]
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]


_NAME_TAKEN: dict[int | str, dict[str, Any]] = {
    409: {"description": "Another team has this name, or Cloud Vision is not enabled in this deployment."}
}


@router.post("/teams", status_code=201, response_model=schemas.Team, responses=_NAME_TAKEN)
async def create_team(
    body: schemas.NewTeam, actor: Admin, services: ServicesDep, transaction: CreationDep, response: Response
) -> Any:
    """Create a team, without users."""
    created = await service.create_team(transaction, actor, body.model_dump(), services.settings)
    response.headers["ETag"] = entity_tag(created["revision"])
    return dict(created)


@router.get("/teams", response_model=schemas.TeamPage)
async def list_teams(
    actor: Reader, services: ServicesDep, limit: LimitQuery = DEFAULT_LIMIT, cursor: CursorQuery = None
) -> Any:
    """List the teams that the caller can see, newest first: all for admins, otherwise the caller's own."""
    rows = await service.list_teams(services.database, actor, cursor, limit + 1)
    return page_of(rows, limit)


@router.get("/teams/{team_id}", response_model=schemas.Team)
async def get_team(team_id: UUID, actor: Reader, services: ServicesDep, response: Response) -> Any:
    """Get a team and its settings."""
    found = await service.get_team(services.database, actor, team_id)
    response.headers["ETag"] = entity_tag(found["revision"])
    return dict(found)


@router.patch("/teams/{team_id}", response_model=schemas.Team, responses=_NAME_TAKEN)
async def change_team(
    team_id: UUID,
    body: schemas.TeamPatch,
    actor: Admin,
    services: ServicesDep,
    transaction: TransactionDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Change the name or settings of a team (JSON merge patch, RFC 7396)."""
    values = body.model_dump(exclude_unset=True)
    changed = await service.change_team(transaction, actor, team_id, values, services.settings, if_match)
    transaction.on_commit.append(lambda: services.team_delivery.forget(team_id))
    response.headers["ETag"] = entity_tag(changed["revision"])
    return dict(changed)


@router.delete(
    "/teams/{team_id}",
    status_code=202,
    response_model=schemas.RemovedTeam,
    responses={
        202: {"description": "The team is being removed with its images and users."},
        204: {"description": "The team was empty and has been removed."},
        409: {"description": "The team still has images or users, or a platform admin belongs to it."},
    },
)
async def remove_team(
    team_id: UUID,
    actor: Admin,
    transaction: TransactionDep,
    request: Request,
    services: ServicesDep,
    force: Annotated[bool, Query(description="Also remove the images and users of the team.")] = False,
    retention_days: Annotated[
        QueryInteger, Query(ge=0, le=365, description="Days in the trash before images are purged; 0 for none.")
    ] = 0,
    if_match: IfMatch = None,
) -> Any:
    """Remove a team. A team with images or users is removed only with `force`.

    With `force`, keys, sessions, upload tokens, share links and delivery addresses of the team stop working at once, on
    other instances within 5 seconds, and its operations end. An operation purges its images, and then removes the users
    and the team. Images are kept in the trash for `retention_days`, at most for the retention of the trash; nobody can
    restore them.
    """
    removing = await service.remove_team(
        transaction, actor, team_id, force=force, if_match=if_match, retention_days=retention_days
    )

    def forget() -> None:
        request.app.state.key_cache.forget_team(team_id)
        services.session_cache.forget_team(team_id)

    transaction.on_commit.append(forget)
    return Response(status_code=204) if removing is None else {**removing.row, "operation_id": removing.operation_id}
