"""HTTP of usage and limits."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.collections.schemas import MOST_IDS
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.guarded_route import GuardedRoute
from image_api.usage import schemas, service

router = APIRouter(tags=["usage"], route_class=GuardedRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.USAGE_READ))]
_NO_TEAM: dict[int | str, dict[str, Any]] = {404: {"description": "The team does not exist, or you may not see it."}}
_First = Annotated[date | None, Query(description="First day, in UTC. Default: 29 days before the last one.")]
_Last = Annotated[date | None, Query(description="Last day, in UTC, at most 91 after the first. Default: today.")]
_Key = Annotated[UUID | None, Query(description="Only requests with this credential (API key).")]
_Group = Annotated[
    Literal["operation", "key"], Query(description="Whether requests of a day are added up by operation or by key.")
]


@router.get("/usage", response_model=schemas.Usage, responses=_NO_TEAM)
async def get_usage(
    actor: Reader,
    services: ServicesDep,
    team_id: TeamQuery = None,
    first_day: _First = None,
    last_day: _Last = None,
    credential_id: _Key = None,
    group_by: _Group = "operation",
) -> Any:
    """Get what a team used day by day: requests, credits, and what was delivered to browsers."""
    period = first_day, last_day
    return await service.find_usage(services.database, actor, team_id, period, credential_id, by_key=group_by == "key")


@router.get("/limits", response_model=schemas.Limits, responses=_NO_TEAM)
async def get_limits(actor: Reader, services: ServicesDep, team_id: TeamQuery = None) -> Any:
    """Get the limits of this deployment, and the quotas of a team with what it uses of them."""
    settings = services.settings
    owner_id, quotas = await service.find_quotas(services.database, actor, team_id, settings)
    return {
        "team_id": owner_id,
        "rate_limits": [
            {"policy": limit.name, "requests": limit.capacity, "window_seconds": limit.window_seconds}
            for limit in services.rate_limits.of_callers
        ],
        "upload": {"max_bytes": settings.upload_max_bytes, "deadline_seconds": settings.upload_deadline_seconds},
        "images_per_request": MOST_IDS,
        "images_per_collection": settings.images_per_collection,
        "quotas": quotas,
    }
