"""HTTP of delivery keys."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.delivery_keys import schemas, service
from image_api.dependencies import (
    CursorQuery,
    DeliveryMasterDep,
    LimitQuery,
    ServicesDep,
    TeamQuery,
    TransactionDep,
)
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.services import Services
from image_core.db import Record, Transaction

router = APIRouter(prefix="/delivery-keys", tags=["delivery"], route_class=IdempotentRoute)
Keeper = Annotated[Actor, Depends(RequireScope(Scope.DELIVERY_KEYS))]
_NO_TEAM: dict[int | str, dict[str, Any]] = {404: {"description": "The team does not exist, or you may not see it."}}
_TOO_MANY: dict[int | str, dict[str, Any]] = {
    404: {"description": "The team or the key does not exist, or this deployment issues no delivery addresses."},
    409: {"description": f"The team already has {service.MAX_LIVE_KEYS} keys, or the key is not active."},
    503: {"description": "The master secret cannot be read. Wait for `Retry-After`."},
}


def _shown(
    created: Record, master: bytes, services: Services, transaction: Transaction, response: Response
) -> dict[str, Any]:
    response.headers["Cache-Control"] = "no-store"
    transaction.on_commit.append(lambda: services.team_delivery.forget(created["team_id"]))
    return {**dict(created), "key": service.show_bytes(master, created)}


@router.post("", status_code=201, response_model=schemas.CreatedDeliveryKey, responses=_TOO_MANY)
async def create_delivery_key(
    body: schemas.NewDeliveryKey,
    actor: Keeper,
    services: ServicesDep,
    master: DeliveryMasterDep,
    transaction: CreationDep,
    response: Response,
    team_id: TeamQuery = None,
) -> Any:
    """Create a delivery key, for a back end that signs addresses itself. Its bytes are shown only in this response.

    The API signs with the newest active key of the team, from 10 seconds after it was created.
    """
    created = await service.create_key(transaction, actor, team_id, body.name)
    return _shown(created, master, services, transaction, response)


@router.get("", response_model=schemas.DeliveryKeyPage, responses=_NO_TEAM)
async def list_delivery_keys(
    actor: Keeper,
    services: ServicesDep,
    team_id: TeamQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:
    """List the delivery keys of a team, newest first. Their bytes are never included."""
    rows = await service.list_keys(services.database, actor, team_id, cursor, limit + 1)
    return page_of(rows, limit)


@router.get("/{delivery_key_id}", response_model=schemas.DeliveryKey)
async def get_delivery_key(delivery_key_id: UUID, actor: Keeper, services: ServicesDep) -> Any:
    """Get a delivery key, without its bytes."""
    return dict(await service.get_key(services.database, actor, delivery_key_id))


@router.post(
    "/{delivery_key_id}/rotate", status_code=201, response_model=schemas.CreatedDeliveryKey, responses=_TOO_MANY
)
async def rotate_delivery_key(
    delivery_key_id: UUID,
    actor: Keeper,
    services: ServicesDep,
    master: DeliveryMasterDep,
    transaction: CreationDep,
    response: Response,
) -> Any:
    """Replace an active delivery key by a new one. Addresses that the old key signed stay valid.

    The bytes of the new key are shown only in this response.
    """
    created = await service.rotate_key(transaction, actor, delivery_key_id)
    return _shown(created, master, services, transaction, response)


@router.post(
    "/{delivery_key_id}/retire",
    response_model=schemas.DeliveryKey,
    responses={409: {"description": "The key is active, or was rotated less than 20 seconds ago."}},
)
async def retire_delivery_key(delivery_key_id: UUID, actor: Keeper, transaction: TransactionDep) -> Any:
    """Retire a delivery key that was rotated. Every address that it signed stops working within 5 seconds.

    `POST /api/v1/delivery/resign` renews stored addresses, before or after the key is retired.
    """
    return dict(await service.retire_key(transaction, actor, delivery_key_id))
