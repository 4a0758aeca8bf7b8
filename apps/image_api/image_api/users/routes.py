"""HTTP of users."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope, authenticate
from image_api.dependencies import CursorQuery, IfMatch, LimitQuery, ServicesDep, TransactionDep
from image_api.http.entity_tags import entity_tag
from image_api.http.field_types import LINE
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.operations.schemas import StartedOperation
from image_api.users import schemas, service

router = APIRouter(tags=["users"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope())]
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]


def _forget(request: Request, user_id: UUID) -> None:
    request.app.state.key_cache.forget_user(user_id)
    request.app.state.services.session_cache.forget_user(user_id)


@router.get("/whoami", response_model=schemas.WhoAmI)
async def who_am_i(actor: Annotated[Actor, Depends(authenticate)], services: ServicesDep) -> Any:
    """Get the user, scopes and credits of the caller. The default key can use this operation too."""
    left = await service.credits_left(services.database, actor)
    return {**asdict(actor), "scopes": sorted(actor.scopes), "credits_left": left}


@router.post(
    "/teams/{team_id}/users",
    status_code=201,
    response_model=schemas.CreatedUser,
    responses={409: {"description": "Another user has this e-mail address."}},
)
async def create_user(
    team_id: UUID, body: schemas.NewUser, actor: Admin, transaction: CreationDep, response: Response
) -> Any:
    """Create a user with a first API key, which is shown only in this response."""
    created = await service.create_user(transaction, actor, team_id, body.model_dump())
    response.headers["Cache-Control"] = "no-store"
    return {
        "user": dict(created.user),
        "api_key": created.key.api_key,
        "key_prefix": created.key.key_prefix,
        "credential_id": created.credential_id,
    }


@router.get("/teams/{team_id}/users", response_model=schemas.UserPage)
async def list_users(
    team_id: UUID, actor: Reader, services: ServicesDep, limit: LimitQuery = DEFAULT_LIMIT, cursor: CursorQuery = None
) -> Any:
    """List the users of a team, newest first."""
    rows = await service.list_users(services.database, actor, team_id, cursor, limit + 1)
    return page_of(rows, limit)


SearchText = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=255,
        pattern=LINE,
        description="Only users whose name or e-mail address contains this text in any case, or whose ID it is.",
    ),
]


@router.get("/users", response_model=schemas.UserPage)
async def find_users(
    actor: Admin, services: ServicesDep, q: SearchText = None, limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:  # fmt: skip
    """List the users of all teams, newest first."""
    return page_of(await service.find_users(services.database, actor, q, cursor, limit + 1), limit)


@router.get("/users/{user_id}", response_model=schemas.User)
async def get_user(user_id: UUID, actor: Admin, services: ServicesDep, response: Response) -> Any:
    """Get a user with its role and scopes."""
    found = await service.get_user(services.database, actor, user_id)
    response.headers["ETag"] = entity_tag(found["revision"])
    return dict(found)


@router.patch(
    "/users/{user_id}",
    response_model=schemas.User,
    responses={409: {"description": "Another user has this e-mail address, or this is the last admin."}},
)
async def change_user(
    user_id: UUID,
    body: schemas.UserPatch,
    actor: Admin,
    transaction: TransactionDep,
    response: Response,
    request: Request,
    if_match: IfMatch = None,
) -> Any:
    """Change the name, e-mail address, role or scopes of a user, or disable the user (JSON merge patch, RFC 7396)."""
    values = body.model_dump(exclude_unset=True)
    changed = await service.change_user(transaction, actor, user_id, values, if_match)
    transaction.on_commit.append(lambda: _forget(request, user_id))
    response.headers["ETag"] = entity_tag(changed["revision"])
    return dict(changed)


@router.delete(
    "/users/{user_id}",
    status_code=202,
    response_model=StartedOperation,
    responses={
        202: {"description": "The user has no access any more. The operation clears the many rows that name it."},
        204: {"description": "The user has been removed."},
        409: {"description": "This is the last admin."},
    },
)
async def remove_user(
    user_id: UUID, actor: Admin, transaction: TransactionDep, request: Request, if_match: IfMatch = None
) -> Any:
    """Remove a user and its API keys. The uploaded images stay in the team."""
    operation_id = await service.remove_user(transaction, actor, user_id, if_match)
    transaction.on_commit.append(lambda: _forget(request, user_id))
    return Response(status_code=204) if operation_id is None else {"operation_id": operation_id}
