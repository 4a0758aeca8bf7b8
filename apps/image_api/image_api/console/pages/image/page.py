"""`/console/images/{image_id}`: one image with its facts."""

import time
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response

from image_api.console.frame import public_url, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.edit import RATINGS
from image_api.console.pages.image.facts import facts_of, flat, zone_of
from image_api.console.pages.image.files import browsers_show, files_of, original_path
from image_api.console.pages.image.neighbors import find_neighbors
from image_api.console.pages.image.snippets import snippets_of
from image_api.console.pages.image.step import actions_of
from image_api.console.pages.images.page import Reader
from image_api.console.pages.images.sheets import AT, IMAGES, OF_A_PAGE, VIEW, VIEW_PARAMETER, list_address
from image_api.console.pictures import name_of, picture_of
from image_api.dependencies import ServicesDep
from image_api.images import service as images
from image_api.listing.filters.query_string import filter_parameters, parse_all
from image_api.teams import service as teams
from image_core.db import Record
from image_core.storage.sizes import format_size

_PARAMETERS = [*(each for each in filter_parameters() if each["name"] not in OF_A_PAGE), VIEW_PARAMETER]
router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)


@router.get(
    "/{image_id}",
    openapi_extra=same_as("GET /api/v1/images/{image_id}", "GET /api/v1/images") | {"parameters": _PARAMETERS},
)
async def show(
    image_id: UUID, request: Request, actor: Reader, services: ServicesDep,
    done: Annotated[Literal["saved", "restored", "visibility", "revoked", "queued"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """Show the picture, what is known of it, and why it failed, and lead on in the list that the address names."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "done"]
    filters, *others = parse_all(request.query_params, other_parameters=("done", VIEW))
    row = await images.get_image(services.database, actor, image_id)
    found = await find_neighbors(services.database, actor, filters, (others[0], others[1]), row)
    names = await teams.team_names(services.database, actor, [row["team_id"]])
    values = {
        **_described(row),
        **actions_of(actor, row),
        "team_name": names.get(row["team_id"]),
        "done": done,
        "list": list_address([*query, (AT, str(image_id))]),
        "before": found.before and list_address(query, f"{IMAGES}/{found.before}"),
        "after": found.after and list_address(query, f"{IMAGES}/{found.after}"),
        "path_of": f"{IMAGES}/{image_id}",
        "ratings": RATINGS,
        "picture": await picture_of(services, row, "large"),
        "files": await files_of(services, actor, row, time.time()),
        "snippets": await snippets_of(services, row, public_url(request), name_of(row)),
    }
    return render(request, "image.html", values, team_id=filters.team_id)


def _described(row: Record) -> dict[str, Any]:
    return {
        "image": row,
        "name": name_of(row),
        "status": "trashed" if row["deleted_at"] else row["status"],
        "size": None if row["size_bytes"] is None else format_size(row["size_bytes"]),
        "sha256": None if row["sha256"] is None else row["sha256"].hex(),
        "metadata": flat(orjson.loads(row["metadata"])),
        "facts": facts_of(row),
        "zone": zone_of(row) if row["taken_local"] else None,
        "original": original_path(row) if browsers_show(row) else None,
    }
