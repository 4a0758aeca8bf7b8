"""HTTP of credentials."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor
from image_api.auth import authenticate
from image_api.credentials import schemas, service
from image_api.dependencies import TransactionDep

router = APIRouter(tags=["credentials"])
# The default key may come here, and nowhere else: the service decides.
Caller = Annotated[Actor, Depends(authenticate)]


@router.post(
    "/user/{user_id}/credentials/rotate",
    response_model=schemas.RotatedKey,
    responses={409: {"description": "Another rotation is under way, or both keys are in use."}},
)
@router.post("/users/{user_id}/credentials/rotate", response_model=schemas.RotatedKey, include_in_schema=False)
async def rotate(
    user_id: UUID,
    actor: Caller,
    transaction: TransactionDep,
    request: Request,
    response: Response,
    body: schemas.Rotation | None = None,
) -> Any:
    """Rotate a key: by an admin, or by the user itself. The answer holds the new key, this once."""
    rotated = await service.rotate(transaction, actor, user_id, body or schemas.Rotation.model_validate({}))
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(rotated.credential_id))
    response.headers["Cache-Control"] = "no-store"
    return {
        "credential_id": rotated.credential_id,
        "api_key": rotated.key.api_key,
        "key_prefix": rotated.key.key_prefix,
        "previous": rotated.previous,
    }
