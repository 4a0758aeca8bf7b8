"""HTTP of processing failed images again."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.operations.schemas import StartedOperation
from image_api.reprocessing import service
from image_api.reprocessing.schemas import NewReprocessing

router = APIRouter(prefix="/admin", tags=["admin"], route_class=IdempotentRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]


@router.post("/reprocess", status_code=202, response_model=StartedOperation)
async def reprocess_failed(body: NewReprocessing, actor: Admin, transaction: CreationDep) -> Any:
    """Process failed images again, after the cause of their failure has been fixed.

    An operation does it, at most 50 images at a time, so that uploads do not wait. An image is done when it is ready;
    one that fails again is among the failures of the operation.
    """
    return {"operation_id": await service.start(transaction, actor, body)}
