"""`/console/images/{image_id}/history`: who changed an image and what happened to it, for admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.audit_events import service
from image_api.audit_events.schemas import AuditPageFilters
from image_api.auth import RequireScope
from image_api.changes import service as changes
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.step import find_step
from image_api.console.pages.images.sheets import IMAGES
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.users import service as users

_EVENTS_A_PAGE = 50
router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]


@router.get("/{image_id}/history", openapi_extra=same_as("GET /api/v1/audit-events"))
async def show(
    image_id: UUID, request: Request, actor: Admin, services: ServicesDep, team_id: TeamQuery = None,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:  # fmt: skip
    """List the changes of an image and its newest events, newest first."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    filters = AuditPageFilters(target_type="image", target_id=image_id, limit=_EVENTS_A_PAGE, cursor=cursor)
    page = await service.list_audit_events(services.database, actor, filters)
    actor_ids = {event["actor_user_id"] for event in page["items"] if event["actor_user_id"]}
    names = await users.user_names(services.database, actor, actor_ids)
    return step.page(
        "image_history.html",
        events=page["items"],
        told=await changes.list_events_of_image(services.database, step.row, _EVENTS_A_PAGE) if cursor is None else [],
        names=names,
        next_cursor=page["next_cursor"],
        is_first=cursor is None,
    )
