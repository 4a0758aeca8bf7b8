"""`/console/trash`: images that were deleted, until when they can be restored, and the button that does it."""

from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireAnyOf
from image_api.console.forms import read_form
from image_api.console.frame import go_to, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.step import may_trash
from image_api.console.pages.images.page import Reader
from image_api.console.pages.images.sheets import IMAGES_A_PAGE
from image_api.console.pictures import name_of
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.images import service as images
from image_api.listing import service as listing
from image_api.listing.schemas import ImageFilters
from image_api.teams import service as teams
from image_core.db import Record

TRASH = f"{HOME}/trash"
router = APIRouter(prefix=TRASH, include_in_schema=False, route_class=PageRoute)
Deleter = Annotated[Actor, Depends(RequireAnyOf(Scope.IMAGES_DELETE, Scope.IMAGES_WRITE))]


@router.get("", openapi_extra=same_as("GET /api/v1/images"))
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    done: Annotated[Literal["restored"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the images in the trash, latest upload first."""
    filters = ImageFilters(status=["trashed"], team_id=team_id, cursor=cursor, limit=IMAGES_A_PAGE)
    page, _ = await listing.list_images(services.database, actor, filters, (), ())
    retention = timedelta(days=services.settings.trash_retention_days)
    chosen = team_id or actor.visible_team_id
    names = await teams.team_names(services.database, actor, {row["team_id"] for row in page.rows})
    values = {
        "images": [_shown(actor, row, retention) for row in page.rows], "next_cursor": page.next_cursor,
        "is_first": cursor is None, "done": done, "team_names": None if chosen else names,
        "retention_days": services.settings.trash_retention_days,
    }  # fmt: skip
    return render(request, "trash.html", values, team_id=team_id)


def _shown(actor: Actor, row: Record, retention: timedelta) -> dict[str, Any]:
    purged_at = row["deleted_at"] + retention
    return {**dict(row), "name": name_of(row), "may_restore": may_trash(actor, row), "purged_at": purged_at}


@router.post(
    "/{image_id}/restore",
    dependencies=[Depends(read_form)],
    openapi_extra=same_as("POST /api/v1/images/{image_id}/restore"),
)
async def restore(
    image_id: UUID, actor: Deleter, services: ServicesDep, transaction: TransactionDep, team_id: TeamQuery = None
) -> Response:
    """Take an image out of the trash."""
    await images.restore_image(transaction, actor, image_id, services.originals.bucket)
    return go_to(TRASH, team_id, done="restored")
