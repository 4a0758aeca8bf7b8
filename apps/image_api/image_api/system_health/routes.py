"""HTTP of the system's health."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import ServicesDep
from image_api.guarded_route import GuardedRoute
from image_api.system_health import schemas, service

router = APIRouter(tags=["service"], route_class=GuardedRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]


@router.get("/system-health", response_model=schemas.SystemHealth)
async def get_system_health(actor: Admin, services: ServicesDep) -> Any:
    """Check the parts of the system now, each for at most three seconds, and return what is wrong and what to do."""
    return await service.examine(services, actor)
