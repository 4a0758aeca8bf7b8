"""`/console/images`: the images that the filters in the address match, 60 a page."""

from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.frame import render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.batch_forms import actions_for
from image_api.console.pages.images.sheets import IMAGES, OF_A_PAGE, PARAMETERS, VIEW, find_sheet, list_address
from image_api.console.pages.images.sidebar import sidebar
from image_api.console.pages.images.table import TABLE, sorts, views, with_facts
from image_api.console.pictures import name_of, picture_of
from image_api.dependencies import ServicesDep
from image_api.listing.orders import parse_order
from image_api.listing.schemas import ImageFilters
from image_api.listing.timeline.service import ORDERS as TIMELINE_ORDERS
from image_api.metadata_schemas import service as metadata_schemas
from image_api.services import Services
from image_api.teams import service as teams
from image_core.db import Record
from image_core.storage.sizes import format_size

router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
_SAME = same_as("GET /api/v1/images", "GET /api/v1/images/facets", "GET /api/v1/teams/{team_id}/users")
_NOT_SAVED = frozenset({"team_id", "limit", VIEW})


@router.get("", openapi_extra=_SAME | {"parameters": PARAMETERS})
async def show(request: Request, actor: Reader, services: ServicesDep) -> Response:
    """Show the images that match, as pictures or as a table."""
    sheet = await find_sheet(request, services, actor, IMAGES, ("delivery",))
    if isinstance(sheet, Response):
        return sheet
    filters, kept = sheet.filters, sheet.kept
    team_id = filters.team_id or actor.visible_team_id
    declared = await metadata_schemas.declared_fields(services.database, team_id) if team_id else {}
    tiles = [await tile_of(services, row) for row in sheet.rows]
    if is_table := (VIEW, TABLE) in kept:
        tiles = await with_facts(services, actor, sheet.rows, tiles)
    values = {
        "image_query": urlencode([(name, value) for name, value in kept if name not in OF_A_PAGE]),
        "sheet": sheet, "is_table": is_table, "tiles": tiles,
        "timeline": None if is_table or sheet.first or sheet.partial else _timeline(actor, filters, kept),
        "views": views(kept), "sorts": sorts(sheet, IMAGES, "filename", "taken_at", "created_at"),
        "filters": urlencode([(name, value) for name, value in kept if name not in _NOT_SAVED]),
        "api_query": list_address([(name, value) for name, value in kept if name not in (*OF_A_PAGE, VIEW)], ""),
        "limits": upload_limits(services),
        "actions": actions_for(actor, filters.status),
        "has_delivery": services.settings.delivery_url is not None,
        **await sidebar(request, services, actor, declared, sheet, is_of_team=team_id is not None),
        **await _names(services, actor, team_id, sheet.rows),
    }  # fmt: skip
    return render(request, "images.html", values, team_id=filters.team_id)


def _timeline(actor: Actor, filters: ImageFilters, kept: list[tuple[str, str]]) -> str | None:
    """Return the query of the timeline of a list; None if no timeline has its images in its order."""
    order = str(parse_order(filters.order_by))
    if order not in TIMELINE_ORDERS or (filters.team_id or actor.visible_team_id) is None:
        return None
    query = [(name, value) for name, value in kept if name not in (*OF_A_PAGE, VIEW, "order_by")]
    return urlencode([*query, ("order_by", order)])


async def tile_of(services: Services, row: Record) -> dict[str, Any]:
    """Return what a grid shows of an image that was read with `delivery`."""
    return {
        "id": row["id"],
        "team_id": row["team_id"],
        "name": name_of(row),
        "filename": row["filename"],
        "status": "trashed" if row["deleted_at"] else row["status"],
        "picture": await picture_of(services, row, "thumb"),
    }


async def _names(services: Services, actor: Actor, team_id: UUID | None, rows: list[Record]) -> dict[str, Any]:
    """Return the name of the team that is shown, or those of all teams on the page."""
    if team_id is not None:
        return {"team": await teams.get_team(services.database, actor, team_id), "team_names": None}
    team_ids = {row["team_id"] for row in rows}
    return {"team": None, "team_names": await teams.team_names(services.database, actor, team_ids)}


def upload_limits(services: Services) -> dict[str, Any]:
    """Return how large an uploaded file may be, sent to the API and straight to storage, and of which types."""
    settings = services.settings
    direct_bytes = settings.direct_upload_max_bytes if services.upload_session_master else 0
    return {
        "size_bytes": settings.upload_max_bytes, "text": format_size(settings.upload_max_bytes),
        "direct_bytes": direct_bytes, "direct_text": format_size(direct_bytes),
        "media_types": [f"image/{name}" for name in settings.image_formats],
    }  # fmt: skip
