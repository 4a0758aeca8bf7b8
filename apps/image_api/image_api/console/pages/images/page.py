"""`/console/images`: the images that the filters in the address match, 60 a page."""

from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.console.frame import go_to, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.batch_forms import actions_for
from image_api.console.pictures import name_of, picture_of
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep
from image_api.listing import service as listing
from image_api.listing.filters.query_string import filter_parameters, parse_all
from image_api.listing.orders import Order, Position, encode_position, parse_order
from image_api.listing.schemas import ImageFilters
from image_api.services import Services
from image_api.settings import ApiSettings
from image_api.teams import service as teams
from image_core.db import Record
from image_core.storage.sizes import format_size

IMAGES = f"{HOME}/images"
IMAGES_A_PAGE = 60
_BEFORE = "before"
_PAGED = frozenset({"cursor", _BEFORE})
OF_A_PAGE = frozenset({"cursor", "limit", "include_total"})
"""What says how much of a list to show, not what is in it."""
_STATUSES = {
    "ready": "Ready",
    "processing": "In processing",
    "stored": "Waiting for processing",
    "pending": "Being uploaded",
    "failed": "Failed",
    "trashed": "In the trash",
}
router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
_PARAMETERS = [
    *filter_parameters(),
    {"name": _BEFORE, "in": "query", "schema": {"type": "string"}},
]


class _Sheet(NamedTuple):
    """A page of the list; `before` and `after` are cursors, null where the list ends."""

    rows: list[Record]
    before: str | None
    after: str | None
    partial: bool


@router.get("", openapi_extra=same_as("GET /api/v1/images") | {"parameters": _PARAMETERS})
async def show(request: Request, actor: Reader, services: ServicesDep) -> Response:
    """Show the images that match."""
    query = request.query_params.multi_items()
    if len(given := [(name, value) for name, value in query if value.strip()]) < len(query):
        # A form sends its empty fields, too.
        return go_to(list_address(given))
    asked = parse_all(request.query_params, other_parameters=(_BEFORE,))
    filters = asked[0].model_copy(update={} if "limit" in request.query_params else {"limit": IMAGES_A_PAGE})
    sheet = await _find(services, actor, filters, asked[1:], request.query_params.get(_BEFORE))
    kept = [(name, value) for name, value in given if name not in _PAGED]
    if sheet is None:
        return go_to(list_address(kept))
    values = {
        "tiles": [await tile_of(services, row) for row in sheet.rows],
        "image_query": urlencode([(name, value) for name, value in kept if name not in OF_A_PAGE]),
        "partial": sheet.partial,
        "first": list_address(kept) if len(kept) < len(given) else None,
        "before": sheet.before and list_address([*kept, (_BEFORE, sheet.before)]),
        "after": sheet.after and list_address([*kept, ("cursor", sheet.after)]),
        "q": filters.q or "",
        "status": filters.status[0] if len(filters.status) == 1 else "",
        "statuses": _STATUSES,
        "others": [(name, value) for name, value in kept if name not in ("q", "status")],
        "is_filtered": any(name not in ("team_id", "order_by", "limit") for name, _ in kept),
        "filters": urlencode([(name, value) for name, value in kept if name not in ("team_id", "limit")]),
        "limits": upload_limits(services.settings),
        "actions": actions_for(actor, filters.status),
        "has_delivery": services.settings.delivery_url is not None,
        **await _names(services, actor, filters, sheet.rows),
    }
    return render(request, "images.html", values, team_id=filters.team_id)


async def _find(
    services: Services, actor: Actor, filters: ImageFilters, others: tuple[Any, Any], before: str | None
) -> _Sheet | None:
    """Return a page of the list; None if what precedes it is the first page, which is shown whole."""
    order = parse_order(filters.order_by)
    turned = Order(order.field, not order.descending)
    if before is None:
        page, _ = await listing.list_images(services.database, actor, filters, *others, ("delivery",))
        # Images without a name are last in both directions, so that this order cannot be turned around.
        can_turn = filters.cursor is not None and page.rows and order.field != "filename"
        return _Sheet(page.rows, _place(turned, page.rows[0]) if can_turn else None, page.next_cursor, page.partial)
    backwards = filters.model_copy(update={"order_by": str(turned), "cursor": before})
    page, _ = await listing.list_images(services.database, actor, backwards, *others, ("delivery",))
    if page.next_cursor is None:
        return None
    rows = page.rows[::-1]
    return _Sheet(rows, page.next_cursor, _place(order, rows[-1]) if rows else None, page.partial)


def _place(order: Order, row: Record) -> str:
    return encode_position(order, Position(row["sort_key"], row["id"]))


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


async def _names(services: Services, actor: Actor, filters: ImageFilters, rows: list[Record]) -> dict[str, Any]:
    """Return the name of the team that is shown, or those of all teams on the page."""
    team_id = filters.team_id or actor.visible_team_id
    if team_id is not None:
        return {"team": await teams.get_team(services.database, actor, team_id), "team_names": None}
    team_ids = {row["team_id"] for row in rows}
    return {"team": None, "team_names": await teams.team_names(services.database, actor, team_ids)}


def upload_limits(settings: ApiSettings) -> dict[str, Any]:
    """Return how large an uploaded file may be."""
    return {"size_bytes": settings.upload_max_bytes, "text": format_size(settings.upload_max_bytes)}


def list_address(query: list[tuple[str, str]], path: str = IMAGES) -> str:
    """Return the address of the list with these filters, or of an image within it."""
    return f"{path}?{urlencode(query)}" if query else path
