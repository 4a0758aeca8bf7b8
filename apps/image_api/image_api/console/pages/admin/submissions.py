"""`/console/submissions`: a team's images as a table, with the fields of its metadata schema as columns and filters."""

from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from image_api.actor import Actor
from image_api.console.frame import go_to, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.field_filters import filter_of
from image_api.console.pages.images.page import Reader, tile_of
from image_api.console.pages.images.sheets import IMAGES, OF_A_PAGE, PARAMETERS, Sheet, find_sheet, list_address
from image_api.console.pages.images.sidebar import STATUSES
from image_api.console.pages.images.table import TABLE, sorts
from image_api.console.policy import HOME
from image_api.console.team_first import lacks_team
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.schemas import DeclaredField
from image_api.metadata_schemas.submissions import WORDS, ordered_fields
from image_api.services import Services
from image_api.teams import service as teams
from image_api.users import service as users
from image_core.db import Record

SUBMISSIONS = f"{HOME}/submissions"
_SHOWN = len(WORDS)
router = APIRouter(include_in_schema=False, route_class=PageRoute)
_SAME = same_as("GET /api/v1/images", "GET /api/v1/metadata-schema", "GET /api/v1/teams/{team_id}/users")


@router.get("/admin")
async def admin() -> Response:
    """Lead to the table of submissions."""
    return go_to(SUBMISSIONS)


@router.get(SUBMISSIONS, openapi_extra=_SAME | {"parameters": PARAMETERS})
async def show(request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None) -> Response:
    """Show the images of a team that match; an admin who names none comes to the first team with submissions."""
    if lacks_team(actor, team_id):
        first_id = await metadata_schemas.first_team_of_submissions(services.database)
        return go_to(SUBMISSIONS, first_id) if first_id else go_to(IMAGES, view=TABLE)
    sheet = await find_sheet(request, services, actor, SUBMISSIONS, ("delivery", "metadata"))
    if isinstance(sheet, Response):
        return sheet
    owner_id = await teams.owning_team(services.database, actor, team_id)
    return render(request, "submissions.html", await _values(services, actor, owner_id, sheet), team_id=team_id)


async def _values(services: Services, actor: Actor, team_id: UUID, sheet: Sheet) -> dict[str, Any]:
    fields = ordered_fields(await metadata_schemas.declared_fields(services.database, team_id))
    filters = [filter_of(field, sheet.kept) for field in fields]
    more = filters[_SHOWN:]
    more_names = {name for each in more for name in each.names}
    named = {"status", "q", *(name for each in filters for name in each.names)}
    names = await users.user_names(services.database, actor, {row["uploaded_by"] for row in sheet.rows} - {None})
    return {
        "team": await teams.get_team(services.database, actor, team_id),
        "columns": filters, "filters": filters[:_SHOWN], "more_filters": more,
        "rows": [await _row(services, row, fields, names) for row in sheet.rows], "sheet": sheet,
        "q": sheet.filters.q or "", "statuses": [("", "All but the trash"), *STATUSES.items()],
        "status": sheet.filters.status[0] if len(sheet.filters.status) == 1 else "",
        "others": [(name, value) for name, value in sheet.kept if name not in named],
        "is_filtered": any(name not in ("team_id", "order_by", "limit") for name, _ in sheet.kept),
        "query": list_address([(name, value) for name, value in sheet.kept if name not in OF_A_PAGE], ""),
        "opens": any(value for name, value in sheet.kept if name in ("q", "status") or name in more_names),
        "sorts": sorts(sheet, SUBMISSIONS, "filename", "created_at"),
    }  # fmt: skip


async def _row(services: Services, row: Record, fields: list[DeclaredField], names: dict[UUID, str]) -> dict[str, Any]:
    metadata = orjson.loads(row["metadata"])
    return await tile_of(services, row) | {
        "values": [_text(metadata.get(field.name)) for field in fields],
        "uploader": names.get(row["uploaded_by"]),
        "created_at": row["created_at"],
    }


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
