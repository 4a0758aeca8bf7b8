"""HTTP of credentials."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor
from image_api.auth import RequireKeeper, caller_address
from image_api.credentials import reports, rotation, schemas, service
from image_api.dependencies import CursorQuery, IfMatch, LimitQuery, ServicesDep, TransactionDep
from image_api.http.entity_tags import entity_tag
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.idempotency.route import CreationDep, IdempotentRoute

router = APIRouter(tags=["credentials"], route_class=IdempotentRoute)
Keeper = Annotated[Actor, Depends(RequireKeeper())]
# The default key may rotate itself, and come nowhere else.
Rotator = Annotated[Actor, Depends(RequireKeeper(default_key=True))]

_ROTATION_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"description": "Another rotation is under way, both keys are in use, or this is the last admin key."}
}
_TWIN = "The same as `POST /api/v1/user/{user_id}/credentials/rotate`, under the plural that its neighbours have."


async def count_report(services: ServicesDep) -> None:
    """Counts a report against the limit of the caller's address."""
    await services.rate_limits.count_report(caller_address())


@router.post(
    "/users/{user_id}/credentials",
    status_code=201,
    response_model=schemas.CreatedCredential,
    responses={409: {"description": "The user has as many live credentials as one may have."}},
)
async def create_credential(
    user_id: UUID, body: schemas.NewCredential, actor: Keeper, transaction: CreationDep, response: Response
) -> Any:
    """Create a further key: by an admin, or by the user itself. The answer holds it, this once."""
    created = await service.create_credential(transaction, actor, user_id, body.model_dump(exclude_unset=True))
    response.headers["Cache-Control"] = "no-store"
    return schemas.shown(created.row) | {"api_key": created.key.api_key}


@router.get("/users/{user_id}/credentials", response_model=schemas.CredentialPage)
async def list_credentials(
    user_id: UUID, actor: Keeper, services: ServicesDep, limit: LimitQuery = DEFAULT_LIMIT, cursor: CursorQuery = None
) -> Any:
    """List a user's credentials, newest first, never with a secret."""
    rows = await service.list_credentials(services.database, actor, user_id, cursor, limit + 1)
    return {"items": [schemas.shown(row) for row in rows[:limit]], "next_cursor": next_cursor(rows, limit)}


@router.post(
    "/credentials/report",
    response_model=schemas.ReceivedReport,
    # Before the transaction takes a connection.
    dependencies=[Depends(count_report)],
    responses={429: {"description": "Too many reports came from this address."}},
)
async def report_key(body: schemas.KeyReport, transaction: TransactionDep, request: Request) -> Any:
    """Report a leaked key: it ends, and its owner is told. Needs no key; the answer is always the same."""
    credential_id = await reports.report(transaction, body.key)
    if credential_id is not None:
        transaction.on_commit.append(lambda: request.app.state.key_cache.forget(credential_id))
    return {"status": "received"}


@router.get("/users/{user_id}/credentials/{credential_id}", response_model=schemas.Credential)
async def get_credential(
    user_id: UUID, credential_id: UUID, actor: Keeper, services: ServicesDep, response: Response
) -> Any:
    """Show a credential: what it may do, when and from where it was used last; never a secret."""
    found = await service.get_credential(services.database, actor, user_id, credential_id)
    response.headers["ETag"] = entity_tag(found["revision"])
    return schemas.shown(found)


@router.patch(
    "/users/{user_id}/credentials/{credential_id}",
    response_model=schemas.Credential,
    responses={409: {"description": "This is the last admin key."}},
)
async def change_credential(
    user_id: UUID,
    credential_id: UUID,
    body: schemas.CredentialPatch,
    actor: Keeper,
    transaction: TransactionDep,
    response: Response,
    request: Request,
    if_match: IfMatch = None,
) -> Any:
    """Change a credential (JSON merge patch): name, scopes, expiry, address ranges."""
    values = body.model_dump(exclude_unset=True)
    changed = await service.change_credential(transaction, actor, user_id, credential_id, values, if_match)
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(credential_id))
    response.headers["ETag"] = entity_tag(changed["revision"])
    return schemas.shown(changed)


@router.delete(
    "/users/{user_id}/credentials/{credential_id}",
    status_code=204,
    responses={409: {"description": "This is the last admin key."}},
)
async def revoke_credential(
    user_id: UUID,
    credential_id: UUID,
    actor: Keeper,
    transaction: TransactionDep,
    request: Request,
    if_match: IfMatch = None,
) -> None:
    """Revoke a credential: everywhere within five seconds, for good. Once more changes nothing."""
    await service.revoke_credential(transaction, actor, user_id, credential_id, if_match)
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(credential_id))


@router.post(
    "/user/{user_id}/credentials/rotate",
    response_model=schemas.RotatedKey,
    responses=_ROTATION_CONFLICT,
)
@router.post(
    "/users/{user_id}/credentials/rotate",
    response_model=schemas.RotatedKey,
    responses=_ROTATION_CONFLICT,
    operation_id="rotateKeyOfUser",
    description=_TWIN,
)
async def rotate(
    user_id: UUID,
    actor: Rotator,
    transaction: TransactionDep,
    request: Request,
    response: Response,
    body: schemas.Rotation | None = None,
) -> Any:
    """Rotate a key: by an admin, or by the user itself. The answer holds the new key, this once."""
    rotated = await rotation.rotate(transaction, actor, user_id, body or schemas.Rotation.model_validate({}))
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(rotated.credential_id))
    response.headers["Cache-Control"] = "no-store"
    return {
        "credential_id": rotated.credential_id,
        "api_key": rotated.key.api_key,
        "key_prefix": rotated.key.key_prefix,
        "previous": rotated.previous,
    }
