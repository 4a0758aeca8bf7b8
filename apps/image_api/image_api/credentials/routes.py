"""HTTP of credentials."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor
from image_api.auth import RequireCredentialManager, caller_address
from image_api.credentials import reports, rotation, schemas, service
from image_api.dependencies import CursorQuery, IfMatch, LimitQuery, ServicesDep, TransactionDep
from image_api.http.entity_tags import entity_tag
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.idempotency.route import CreationDep, IdempotentRoute

router = APIRouter(tags=["credentials"], route_class=IdempotentRoute)
Keeper = Annotated[Actor, Depends(RequireCredentialManager())]
# The default key may only rotate itself.
Rotator = Annotated[Actor, Depends(RequireCredentialManager(default_key=True))]

_ROTATION_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {
        "description": "Another rotation is in progress, an earlier key is still valid, or this is the last admin key."
    }
}
_TWIN = "The same operation as `POST /api/v1/user/{user_id}/credentials/rotate`, at the path of the other operations."


async def count_report(services: ServicesDep) -> None:
    """Count a report against the limit of the caller's address."""
    await services.rate_limits.count_report(caller_address())


@router.post(
    "/users/{user_id}/credentials",
    status_code=201,
    response_model=schemas.CreatedCredential,
    responses={
        409: {"description": f"The user already has {service.MAX_LIVE_CREDENTIALS} active credentials, the maximum."}
    },
)
async def create_credential(
    user_id: UUID, body: schemas.NewCredential, actor: Keeper, transaction: CreationDep, response: Response
) -> Any:
    """Create another API key for a user. The key is shown only in this response.

    Users can create keys for themselves, and admins for everybody.
    """
    created = await service.create_credential(transaction, actor, user_id, body.model_dump(exclude_unset=True))
    response.headers["Cache-Control"] = "no-store"
    return schemas.shown(created.row) | {"api_key": created.key.api_key}


@router.get("/users/{user_id}/credentials", response_model=schemas.CredentialPage)
async def list_credentials(
    user_id: UUID, actor: Keeper, services: ServicesDep, limit: LimitQuery = DEFAULT_LIMIT, cursor: CursorQuery = None
) -> Any:
    """List the credentials of a user, newest first. Secrets are never included."""
    rows = await service.list_credentials(services.database, actor, user_id, cursor, limit + 1)
    return page_of(rows, limit, schemas.shown)


@router.post(
    "/credentials/report",
    response_model=schemas.ReceivedReport,
    # Before the transaction takes a connection.
    dependencies=[Depends(count_report)],
    responses={429: {"description": "Too many reports from this address. Wait for `Retry-After`."}},
)
async def report_key(body: schemas.KeyReport, transaction: TransactionDep, request: Request) -> Any:
    """Report a leaked API key. A valid key is revoked and its owner is notified.

    No authentication is needed, and the response is the same for every key.
    """
    credential_id = await reports.report(transaction, body.key)
    if credential_id is not None:
        transaction.on_commit.append(lambda: request.app.state.key_cache.forget(credential_id))
    return {"status": "received"}


@router.get("/users/{user_id}/credentials/{credential_id}", response_model=schemas.Credential)
async def get_credential(
    user_id: UUID, credential_id: UUID, actor: Keeper, services: ServicesDep, response: Response
) -> Any:
    """Get a credential with its scopes, limits and last use. Secrets are never included."""
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
    """Change the name, scopes, expiry or address ranges of a credential (JSON merge patch, RFC 7396)."""
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
    """Revoke a credential permanently. It stops working everywhere within 5 seconds."""
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
    services: ServicesDep,
    request: Request,
    response: Response,
    body: schemas.Rotation | None = None,
) -> Any:
    """Replace an API key with a new one, which is shown only in this response.

    The old key keeps working during the grace period. Users can rotate their own keys, and admins everybody's.
    """
    rotated = await rotation.rotate(transaction, actor, user_id, body or schemas.Rotation.model_validate({}))
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(rotated.credential_id))
    transaction.on_commit.append(lambda: services.session_cache.forget_user(user_id))
    response.headers["Cache-Control"] = "no-store"
    return {
        "credential_id": rotated.credential_id,
        "api_key": rotated.key.api_key,
        "key_prefix": rotated.key.key_prefix,
        "previous": rotated.previous,
    }
