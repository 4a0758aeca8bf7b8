"""`/console/collections`: a team's collections with their covers, and the form for a new one."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.batches import service as batches
from image_api.collections import schemas, service
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.page import Reader
from image_api.console.pictures import picture_of
from image_api.console.policy import HOME
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery
from image_api.http.pagination import next_cursor
from image_api.idempotency.route import CreationDep
from image_api.services import Services
from image_core.db import Record

COLLECTIONS = f"{HOME}/collections"
COLLECTIONS_A_PAGE = 30
router = APIRouter(prefix=COLLECTIONS, include_in_schema=False, route_class=PageRoute)
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
_CREATE = same_as("POST /api/v1/collections")


@router.get("", openapi_extra=same_as("GET /api/v1/collections", "POST /api/v1/images/batch-get"))
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    done: Annotated[Literal["removed"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the collections, newest first."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Collections")
    rows = await service.list_collections(services.database, actor, team_id, cursor, COLLECTIONS_A_PAGE + 1)
    values = {
        "collections": await _with_covers(services, actor, rows[:COLLECTIONS_A_PAGE]),
        "next_cursor": next_cursor(rows, COLLECTIONS_A_PAGE),
        "is_first": cursor is None,
        "done": done,
    }
    return render(request, "collections.html", values, team_id=team_id)


async def _with_covers(services: Services, actor: Actor, rows: list[Record]) -> list[dict[str, Any]]:
    cover_ids = {row["shown_image_id"] for row in rows} - {None}
    covers = await batches.find_images(services.database, actor, cover_ids, ("delivery",)) if cover_ids else {}
    pictures = {image_id: await picture_of(services, cover, "thumb") for image_id, cover in covers.items()}
    return [{**dict(row), "picture": pictures.get(row["shown_image_id"])} for row in rows]


@router.get("/new", openapi_extra=_CREATE)
async def show_new(request: Request, actor: Writer, team_id: TeamQuery = None) -> Response:
    """Show the form for a new collection."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Collections")
    return _new_page(request, team_id, Form(()), None)


@router.post("", openapi_extra=_CREATE)
async def create(
    request: Request, actor: Writer, form: FormDep, services: ServicesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Create an empty collection, and open it."""
    show_again_if_refused(request, lambda refusal: _new_page(request, team_id, form, refusal))
    body = form.parse(schemas.NewCollection, "name")
    most = services.settings.collections_per_team
    created = await service.create_collection(transaction, actor, team_id, body.name, most)
    return go_to(collection_path(created["id"]), team_id, done="created")


def collection_path(collection_id: UUID) -> str:
    """Return the path of the page of a collection."""
    return f"{COLLECTIONS}/{collection_id}"


def _new_page(request: Request, team_id: UUID | None, form: Form, refusal: Refusal | None) -> Response:
    values = {"name": form.get("name"), "refusal": refusal}
    return render(request, "collection_new.html", values, team_id=team_id)
