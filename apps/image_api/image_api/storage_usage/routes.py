"""The storage that a team uses."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.guarded_route import GuardedRoute
from image_api.teams import service as teams
from image_core import errors
from image_core.billing import storage_quota
from image_core.storage.sizes import format_size

router = APIRouter(tags=["usage"], route_class=GuardedRoute)


class StorageUsage(BaseModel):
    """Storage used by a team, and its quotas."""

    team_id: UUID
    used_bytes: int
    used: str
    used_images: int
    quota_bytes: int | None
    quota: str | None
    quota_images: int | None


@router.get(
    "/usage/storage",
    response_model=StorageUsage,
    responses={404: {"description": "The team does not exist, or you may not see it."}},
)
async def get_storage_usage(
    actor: Annotated[Actor, Depends(RequireScope(Scope.USAGE_READ))], services: ServicesDep, team_id: TeamQuery = None
) -> Any:
    """Get the number of bytes and images that the team stores, and its quotas."""
    owner_id = await teams.owning_team(services.database, actor, team_id)
    found = await storage_quota.find_usage(services.database, owner_id, services.settings.default_quota)
    if found is None:
        raise errors.TeamNotFound
    quota = found["quota_bytes"]
    return {
        **dict(found),
        "used": format_size(found["used_bytes"]),
        "quota": None if quota is None else format_size(quota),
    }
