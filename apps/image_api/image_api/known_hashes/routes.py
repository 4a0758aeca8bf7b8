"""HTTP of checks of hashes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.guarded_route import LARGE_BODY_BYTES, GuardedRoute, body_limit
from image_api.images.body import json_response
from image_api.known_hashes import schemas, service
from image_api.teams import service as teams

router = APIRouter(tags=["images"], route_class=GuardedRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]


@router.post(
    "/images/check-hashes",
    response_model=schemas.CheckedHashes,
    responses={404: {"description": "The team does not exist."}},
    openapi_extra=body_limit(LARGE_BODY_BYTES),
)
async def check_hashes(
    body: schemas.Hashes, actor: Reader, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Check for up to 1,000 files, by their SHA-256, whether the team has or had them, before they are uploaded.

    Files that were purged are remembered for 90 days, so that a synchronization does not bring back what somebody
    deleted. Uploads in progress are `absent`.
    """
    owner_id = await teams.owning_team(services.database, actor, team_id)
    digests = list(dict.fromkeys(bytes.fromhex(text) for text in body.sha256))
    known = await service.check(services, owner_id, digests)
    return json_response(
        {
            "items": [
                {
                    "sha256": digest.hex(),
                    "state": each.state,
                    "image_id": None if each.image_id is None else str(each.image_id),
                    "status": each.status,
                    "purged_at": each.purged_at,
                }
                for digest, each in known.items()
            ]
        }
    )
