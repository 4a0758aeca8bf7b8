"""`/console/images/{image_id}/collections`: the collections and share links that show an image; add it to one."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.collections import service
from image_api.console.forms import FormDep
from image_api.console.frame import go_to, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.step import Step, find_step
from image_api.console.pages.images.page import Reader
from image_api.console.pages.images.sheets import IMAGES
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.links import service as links
from image_api.services import Services

_LIST = "GET /api/v1/collections"
_MOST_SHOWN = 100
router = APIRouter(prefix=IMAGES, include_in_schema=False, route_class=PageRoute)
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ, Scope.IMAGES_WRITE))]


class _Chosen(BaseModel):
    collection_id: UUID


@router.get("/{image_id}/collections", openapi_extra=same_as(_LIST))
async def show(
    image_id: UUID, request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None,
    done: Annotated[Literal["added"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the collections that contain an image, and for who may see them the links that show it."""
    step = await find_step(services.database, actor, request, image_id, team_id)
    return step.page("image_collections.html", done=done, **await _shown(services, actor, step))


async def _shown(services: Services, actor: Actor, step: Step) -> dict[str, Any]:
    team_id, image_id, database = step.row["team_id"], step.row["id"], services.database
    containing = await service.list_collections(database, actor, team_id, None, _MOST_SHOWN, image_id)
    showing, others = None, []
    if Scope.DELIVERY_MANAGE in actor.scopes:
        showing = await links.list_links(database, actor, team_id, None, _MOST_SHOWN, image_id)
    if Scope.IMAGES_WRITE in actor.scopes:
        known = {row["id"] for row in containing}
        found = await service.list_collections(database, actor, team_id, None, _MOST_SHOWN)
        others = [(str(row["id"]), row["name"]) for row in found if row["id"] not in known]
    return {"containing": containing, "showing": showing, "others": others}


@router.post("/{image_id}/collections", openapi_extra=same_as("POST /api/v1/collections/{collection_id}/images", _LIST))
async def add(
    image_id: UUID, request: Request, actor: Writer, form: FormDep, services: ServicesDep, transaction: TransactionDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Add the image to a collection, last; share links to the collection show it, too."""
    step = await find_step(transaction, actor, request, image_id, team_id)
    values = await _shown(services, actor, step)
    show_again_if_refused(request, lambda refusal: step.page("image_collections.html", refusal, done=None, **values))
    chosen = form.parse(_Chosen, "collection_id").collection_id
    most = services.settings.images_per_collection
    await service.add_images(transaction, actor, chosen, [image_id], None, most, None)
    return go_to(f"{step.path}/collections", team_id, done="added")
