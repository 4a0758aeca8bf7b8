"""`/console/find`: pages, teams and images by name or ID. The palette of `palette.js` shows what this page finds."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.datastructures import QueryParams

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.batches import service as batches
from image_api.console.frame import pages_for, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.sheets import IMAGES
from image_api.console.pictures import name_of
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.listing import service as listing
from image_api.listing.filters.query_string import parse_all
from image_api.services import Services
from image_api.teams import service as teams
from image_core.db import Record

_MOST = 8
router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Actor, Depends(RequireScope())]


@router.get("/find", openapi_extra=same_as("GET /api/v1/whoami", "GET /api/v1/teams"))
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None,
    q: Annotated[str, Query(max_length=255)] = "",
) -> Response:  # fmt: skip
    """Show what matches among the pages that the caller can open, the teams and the images; without a text, all pages.

    Images are found with the scope for them alone, and teams by admins.
    """
    text = " ".join(q.split())
    pages = [(page.path, page.name, None) for page in pages_for(actor) if text.casefold() in page.name.casefold()]
    teams_found = await _teams(services, actor, text) if text else []
    images_found = await _images(services, actor, team_id, text) if text else []
    found = [
        ("page", "Pages", pages),
        ("team", "Teams", [(IMAGES, row["name"], row["id"]) for row in teams_found]),
        ("image", "Images", [(f"{IMAGES}/{row['id']}", row["filename"] or name_of(row), None) for row in images_found]),
    ]
    values = {"q": text, "found": found, "sees_images": Scope.IMAGES_READ in actor.scopes, "team_id": team_id}
    return render(request, "find.html", values, team_id=team_id)


async def _teams(services: Services, actor: Actor, text: str) -> list[Record]:
    sees_others = actor.is_admin and Scope.ADMIN in actor.scopes
    return await teams.find_teams(services.database, actor, text, _MOST) if sees_others else []


async def _images(services: Services, actor: Actor, team_id: UUID | None, text: str) -> list[Record]:
    if Scope.IMAGES_READ not in actor.scopes:
        return []
    if (image_id := _id(text)) is not None:
        found = await batches.find_images(services.database, actor, [image_id], ())
        return list(found.values())
    query = {"q": text, "limit": str(_MOST)} | ({"team_id": str(team_id)} if team_id else {})
    page, _ = await listing.list_images(services.database, actor, *parse_all(QueryParams(query)))
    return page.rows


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
