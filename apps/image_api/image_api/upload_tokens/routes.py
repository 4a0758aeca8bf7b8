"""HTTP of upload tokens."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep
from image_api.guarded_route import LARGE_BODY_BYTES, body_limit
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.images.body import json_response
from image_api.teams import service as teams
from image_api.upload_tokens import schemas, service
from image_api.uploads.routes import OwnerQuery

router = APIRouter(prefix="/upload-tokens", tags=["uploads"], route_class=IdempotentRoute)
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]


@router.post(
    "",
    status_code=201,
    response_model=schemas.CreatedUploadToken,
    responses={404: {"description": "The team does not exist."}},
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)
async def create_upload_token(
    body: schemas.NewUploadToken,
    actor: Writer,
    services: ServicesDep,
    transaction: CreationDep,
    team_id: OwnerQuery = None,
) -> Response:
    """Create a token that a page sends as `X-Upload-Token`, to open direct uploads and to see and cancel its own.

    Uploads of the token have its tags and metadata. It ends with the key or session that created it, and its holder
    does not learn what the team has: a file that the team already has looks like a new one.
    """
    owner_id = await teams.receiving_team(services.database, actor, team_id)
    limit_bytes = services.settings.direct_upload_max_bytes
    created = await service.create_token(transaction, actor, owner_id, body, limit_bytes)
    shown = {
        "upload_token_id": str(created.token_id),
        "token": created.text,
        "expires_at": created.expires_at,
        "max_uploads": body.max_uploads,
        "max_bytes": created.max_bytes,
    }
    return json_response(shown, 201, {"cache-control": "no-store"})
