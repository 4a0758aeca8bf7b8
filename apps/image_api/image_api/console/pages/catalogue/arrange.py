"""`/console/collections/{collection_id}/arrange`: the order of a collection's images, and its cover."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.collections import cursor as cursors
from image_api.collections import schemas, service
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, show_again_if_refused
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.catalogue.collection import Step, StepDep
from image_api.console.pages.catalogue.collections import COLLECTIONS, Writer
from image_api.console.pages.images.page import tile_of
from image_api.console.pages.images.sheets import IMAGES_A_PAGE
from image_api.dependencies import ServicesDep, TransactionDep
from image_core import errors

router = APIRouter(prefix=COLLECTIONS, include_in_schema=False, route_class=PageRoute)
_ARRANGE = same_as(
    "PUT /api/v1/collections/{collection_id}/order", "POST /api/v1/collections/{collection_id}/images",
    "PATCH /api/v1/collections/{collection_id}",
)  # fmt: skip
CursorText = Annotated[str | None, Query(max_length=100)]
Done = Annotated[Literal["moved", "cover", "nothing-chosen"] | None, Query()]
_DIRECTIONS = {"earlier": -1, "later": 1}


class Arranged(NamedTuple):
    """A page of the images of a collection in their order."""

    step: Step
    tiles: list[dict[str, Any]]
    order: list[UUID]
    """The images of the page, with the one before it and the one behind it, if there are."""
    cursor: str | None
    next_cursor: str | None

    def page(self, refusal: Refusal | None, done: str | None = None) -> Response:
        """Return the page, with what was refused."""
        return self.step.page(
            "collection_arrange.html", Form(()), refusal, tiles=self.tiles, order=self.order, cursor=self.cursor,
            next_cursor=self.next_cursor, is_first=self.cursor is None, done=done,
        )  # fmt: skip

    def go_back(self, done: str, image_id: UUID | None = None) -> Response:
        """Return the redirect to this page, at an image of it."""
        cursor = {"cursor": self.cursor} if self.cursor else {}
        answer = go_to(f"{self.step.path}/arrange", self.step.team_id, done=done, **cursor)
        if image_id is not None:
            answer.headers["location"] += f"#image-{image_id}"
        return answer


async def _arranged(step: StepDep, actor: Writer, services: ServicesDep, cursor: CursorText = None) -> Arranged:
    begin = cursors.START if cursor is None else cursors.decode(cursor)
    collection_id, count = step.row["id"], IMAGES_A_PAGE + 1
    rows = await service.page_images(services.database, actor, collection_id, begin, count, ("delivery",))
    order = [] if cursor is None else [begin.image_id]
    return Arranged(
        step, [await tile_of(services, row) for row in rows[:IMAGES_A_PAGE]],
        [*order, *(row["id"] for row in rows)], cursor, cursors.next_cursor(rows, IMAGES_A_PAGE),
    )  # fmt: skip


ArrangedDep = Annotated[Arranged, Depends(_arranged)]


@router.get("/{collection_id}/arrange", openapi_extra=_ARRANGE)
async def show(arranged: ArrangedDep, done: Done = None) -> Response:
    """Show the images with what moves them."""
    return arranged.page(None, done)


@router.post("/{collection_id}/arrange", openapi_extra=_ARRANGE)
async def arrange(
    request: Request, actor: Writer, form: FormDep, arranged: ArrangedDep, services: ServicesDep,
    transaction: TransactionDep,
) -> Response:  # fmt: skip
    """Move one image by one place or the chosen ones to an end, or choose the cover, as its button says."""
    show_again_if_refused(request, arranged.page)
    collection_id, (action, _, named) = arranged.step.row["id"], form.get("action").partition(":")
    if action == "cover":
        patch = form.parse(schemas.CollectionPatch, cover_image_id=named or None).model_dump(exclude_unset=True)
        await service.change_collection(transaction, actor, collection_id, patch, form.seen_version())
        return arranged.go_back("cover", patch["cover_image_id"])
    if action in _DIRECTIONS:
        pair = _swapped(form, named, _DIRECTIONS[action])
        await service.order_images(transaction, actor, collection_id, pair, form.seen_version())
        return arranged.go_back("moved", UUID(named))
    if not form.all("image_id"):
        return arranged.go_back("nothing-chosen")
    chosen = form.parse(schemas.AddedIds, image_ids=form.all("image_id")).image_ids
    last = await service.find_last(transaction, actor, collection_id, chosen) if action == "last" else None
    most = services.settings.images_per_collection
    place = service.Place(last)
    await service.add_images(transaction, actor, collection_id, chosen, place, most, form.seen_version())
    return arranged.go_back("moved")


def _swapped(form: Form, named: str, direction: int) -> list[UUID]:
    """Return an image and its neighbour on the page, in their new order; the image alone if it has none.

    Raises:
        errors.RequestInvalid: The image is not on the page.
    """
    order = form.parse(schemas.OrderedIds, image_ids=form.get("order").split()).image_ids
    index = next((index for index, each in enumerate(order) if str(each) == named), None)
    if index is None:
        message = "This image is not on the page. Open it again."
        raise errors.invalid_fields([{"field": "action", "code": "not-on-the-page", "message": message}])
    pair = [order[index], *order[max(0, index + direction) : index + direction + 1]]
    return pair if direction < 0 else pair[::-1]
