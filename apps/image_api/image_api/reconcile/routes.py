"""HTTP of reconciliation."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.operations.schemas import StartedOperation
from image_api.reconcile import schemas, service

router = APIRouter(prefix="/admin", tags=["admin"], route_class=IdempotentRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]


@router.post(
    "/reconcile",
    status_code=202,
    response_model=StartedOperation,
    responses={409: {"description": "The platform has the maximum of unfinished operations."}},
)
async def reconcile(body: schemas.NewReconciliation, actor: Admin, transaction: CreationDep) -> Any:
    """Compare the images of all teams with the originals in storage, as an operation.

    What differs is in `GET /api/v1/operations/{operation_id}/failures`: an image without its object, an object without
    an image, and an object that is another one. With `repair`, it is put right where that is possible.
    """
    return {"operation_id": await service.start_reconciliation(transaction, actor, body)}
