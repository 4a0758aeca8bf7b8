"""`/console/collections/{collection_id}`: a collection with its images, and what can be done with it."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor
from image_api.collections import cursor as cursors
from image_api.collections import schemas, service
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.catalogue.collections import COLLECTIONS, Writer, collection_path
from image_api.console.pages.images.page import Reader, tile_of
from image_api.console.pages.images.sheets import IMAGES_A_PAGE
from image_api.dependencies import ServicesDep, TeamQuery, TransactionDep
from image_api.links import service as links
from image_api.services import Services
from image_core.db import Record

router = APIRouter(prefix=COLLECTIONS, include_in_schema=False, route_class=PageRoute)
_READ = "GET /api/v1/collections/{collection_id}"
_CHANGE = same_as("PATCH /api/v1/collections/{collection_id}")
_REMOVE = same_as("DELETE /api/v1/collections/{collection_id}")
_ADD = same_as("POST /api/v1/collections/{collection_id}/images")
_TAKE_OUT = same_as("DELETE /api/v1/collections/{collection_id}/images")
Chosen = Annotated[list[UUID], Query(max_length=IMAGES_A_PAGE, default_factory=list)]
Done = Annotated[Literal["created", "changed", "added", "taken-out", "nothing-chosen"] | None, Query()]


class Step(NamedTuple):
    """A page that changes a collection, with the collection as it was before."""

    request: Request
    row: Record
    open_links: int
    team_id: UUID | None

    @property
    def path(self) -> str:
        """The path of the collection's page."""
        return collection_path(self.row["id"])

    def page(self, template: str, form: Form, refusal: Refusal | None, **more: Any) -> Response:
        """Return the page, with what was sent and refused."""
        values = {
            "collection": self.row, "open_links": self.open_links, "path_of": self.path, "refusal": refusal,
            "revision": self.row["revision"], "sent": form.get("name") or self.row["name"],
            "ids": form.get("image_ids"), "team_id": self.team_id, **more,
        }  # fmt: skip
        return render(self.request, template, values, team_id=self.team_id)


async def _step(
    request: Request, collection_id: UUID, actor: Writer, services: ServicesDep, team_id: TeamQuery = None
) -> Step:
    """Return what the page shows.

    Raises:
        errors.CollectionNotFound: There is none, or it is another team's.
    """
    return await _found(request, services, actor, collection_id, team_id)


async def _found(request: Request, services: Services, actor: Actor, collection_id: UUID, team_id: UUID | None) -> Step:
    row = await service.get_collection(services.database, actor, collection_id)
    open_links = await links.count_open_of_collection(services.database, row["team_id"], collection_id)
    return Step(request, row, open_links, team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


@router.get("/{collection_id}", openapi_extra=same_as(_READ, f"{_READ}/images"))
async def show(
    collection_id: UUID, request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None,
    cursor: Annotated[str | None, Query(max_length=100)] = None, done: Done = None,
) -> Response:  # fmt: skip
    """Show the images of a collection in its order."""
    step = await _found(request, services, actor, collection_id, team_id)
    begin = cursors.START if cursor is None else cursors.decode(cursor)
    rows = await service.page_images(services.database, actor, collection_id, begin, IMAGES_A_PAGE + 1, ("delivery",))
    return step.page(
        "collection.html", Form(()), None, done=done, is_first=cursor is None,
        tiles=[await tile_of(services, row) for row in rows[:IMAGES_A_PAGE]],
        next_cursor=cursors.next_cursor(rows, IMAGES_A_PAGE), has_delivery=services.settings.delivery_url is not None,
    )  # fmt: skip


@router.get("/{collection_id}/rename", openapi_extra=_CHANGE)
async def show_name(step: StepDep) -> Response:
    """Show the form for another name."""
    return step.page("collection_rename.html", Form(()), None)


@router.post("/{collection_id}/rename", openapi_extra=_CHANGE)
async def rename(
    collection_id: UUID, request: Request, actor: Writer, form: FormDep, step: StepDep, transaction: TransactionDep
) -> Response:
    """Rename a collection, unless somebody has changed it since the form was shown."""
    show_again_if_refused(request, lambda refusal: step.page("collection_rename.html", form, refusal))
    patch = form.parse(schemas.CollectionPatch, "name").model_dump(exclude_unset=True)
    await service.change_collection(transaction, actor, collection_id, patch, form.seen_version())
    return go_to(step.path, step.team_id, done="changed")


@router.get("/{collection_id}/remove", openapi_extra=_REMOVE)
async def show_removal(step: StepDep) -> Response:
    """Say what the removal of a collection does."""
    return step.page("collection_remove.html", Form(()), None)


@router.post("/{collection_id}/remove", openapi_extra=_REMOVE)
async def remove(
    collection_id: UUID, request: Request, actor: Writer, form: FormDep, step: StepDep, transaction: TransactionDep
) -> Response:
    """Remove a collection, and end its share links."""
    show_again_if_refused(request, lambda refusal: step.page("collection_remove.html", form, refusal))
    await service.remove_collection(transaction, actor, collection_id, form.seen_version())
    return go_to(COLLECTIONS, step.team_id, done="removed")


@router.get("/{collection_id}/add", openapi_extra=_ADD)
async def show_addition(step: StepDep) -> Response:
    """Show the form that adds images by their IDs."""
    return step.page("collection_add.html", Form(()), None)


@router.post("/{collection_id}/add", openapi_extra=_ADD)
async def add(
    collection_id: UUID, request: Request, actor: Writer, form: FormDep, step: StepDep, services: ServicesDep,
    transaction: TransactionDep,
) -> Response:  # fmt: skip
    """Add images, last; those that are in the collection stay where they are."""
    show_again_if_refused(request, lambda refusal: step.page("collection_add.html", form, refusal))
    body = form.parse(schemas.AddedIds, image_ids=form.get("image_ids").split())
    most = services.settings.images_per_collection
    await service.add_images(transaction, actor, collection_id, body.image_ids, None, most, None)
    return go_to(step.path, step.team_id, done="added")


@router.get("/{collection_id}/take-out", openapi_extra=_TAKE_OUT)
async def show_taking_out(step: StepDep, image_id: Chosen) -> Response:
    """Say what it does to take the chosen images out."""
    if not image_id:
        return go_to(step.path, step.team_id, done="nothing-chosen")
    return step.page("collection_take_out.html", Form(()), None, image_ids=image_id)


@router.post("/{collection_id}/take-out", openapi_extra=_TAKE_OUT)
async def take_out(
    collection_id: UUID, request: Request, actor: Writer, form: FormDep, step: StepDep, transaction: TransactionDep
) -> Response:
    """Take images out of a collection; the images themselves stay."""
    sent = form.all("image_id")
    show_again_if_refused(request, lambda refusal: step.page("collection_take_out.html", form, refusal, image_ids=sent))
    body = form.parse(schemas.RemovedIds, image_ids=sent)
    await service.remove_images(transaction, actor, collection_id, body.image_ids, None)
    return go_to(step.path, step.team_id, done="taken-out")
