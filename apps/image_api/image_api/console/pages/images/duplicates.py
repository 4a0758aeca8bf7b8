"""`/console/duplicates`: near-duplicates side by side, and the decisions that two images are none."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.batches import service as batches
from image_api.console.forms import FormDep
from image_api.console.frame import go_to, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.image.step import may_trash
from image_api.console.pages.images.page import Reader
from image_api.console.pictures import name_of, picture_of
from image_api.console.policy import HOME
from image_api.console.team_first import ask_for_team, lacks_team
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.duplicates import schemas, service
from image_api.http.pagination import next_cursor
from image_api.idempotency.route import CreationDep
from image_api.services import Services
from image_core.images.similarity import MAX_HASH_DISTANCE
from image_core.storage.sizes import format_size

DUPLICATES = f"{HOME}/duplicates"
DECISIONS = f"{DUPLICATES}/decisions"
GROUPS_A_PAGE = 10
PAIRS_OF_A_GROUP = 10
"""The closest pairs are shown; the others follow once these are decided."""
_PAIR = ("image_id_a", "image_id_b")
router = APIRouter(prefix=DUPLICATES, include_in_schema=False, route_class=PageRoute)
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]


@router.get("", openapi_extra=same_as("GET /api/v1/duplicates", "POST /api/v1/images/batch-get"))
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    decision_id: Annotated[UUID | None, Query()] = None,
) -> Response:  # fmt: skip
    """List pairs, those with the newest images first; `decision_id` is what has just been decided."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Duplicates")
    page = await service.list_duplicates(
        services.database, actor, team_id, max_distance=MAX_HASH_DISTANCE, cursor=cursor, limit=GROUPS_A_PAGE
    )
    values = {
        "pairs": await _pairs(services, actor, page.groups), "next_cursor": page.next_cursor,
        "is_first": cursor is None, "decision_id": decision_id,
    }  # fmt: skip
    return render(request, "duplicates.html", values, team_id=team_id)


async def _pairs(services: Services, actor: Actor, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [(group, each) for group in groups for each in _closest(group)]
    image_ids = {image_id for _, each in found for image_id in each["image_ids"]}
    rows = await batches.find_images(services.database, actor, image_ids, ("delivery",)) if image_ids else {}
    shown = {
        image_id: {
            **{name: row[name] for name in ("id", "width", "height", "created_at")},
            "name": name_of(row), "may_trash": may_trash(actor, row), "size": format_size(row["size_bytes"]),
            "picture": await picture_of(services, row, "preview"),
        }
        for image_id, row in rows.items()
    }  # fmt: skip
    return [
        {"images": [shown[image_id] for image_id in each["image_ids"]], "keep_id": group["keep_image_id"]}
        for group, each in found
        if shown.keys() >= set(each["image_ids"])
    ]


def _closest(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from sorted(group["distances"], key=lambda each: each["distance"])[:PAIRS_OF_A_GROUP]


@router.get("/decisions", openapi_extra=same_as("GET /api/v1/duplicates/decisions", "POST /api/v1/images/batch-get"))
async def show_decisions(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    done: Annotated[Literal["undone"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the pairs that somebody decided to be no duplicates, newest decision first."""
    if lacks_team(actor, team_id):
        return ask_for_team(request, "Decisions")
    rows = await service.list_decisions(services.database, actor, team_id, cursor, GROUPS_A_PAGE + 1)
    decided = rows[:GROUPS_A_PAGE]
    image_ids = {row[name] for row in decided for name in _PAIR}
    images = await batches.find_images(services.database, actor, image_ids, ("delivery",)) if image_ids else {}
    shown = {
        image_id: {"id": image_id, "name": name_of(row), "picture": await picture_of(services, row, "thumb")}
        for image_id, row in images.items()
    }  # fmt: skip
    values = {
        "decisions": [{**dict(row), "images": [shown.get(row[name]) for name in _PAIR]} for row in decided],
        "next_cursor": next_cursor(rows, GROUPS_A_PAGE), "is_first": cursor is None, "done": done,
    }  # fmt: skip
    return render(request, "decisions.html", values, team_id=team_id)


@router.post("/decisions", openapi_extra=same_as("POST /api/v1/duplicates/decisions"))
async def decide(actor: Writer, form: FormDep, transaction: CreationDep, team_id: TeamQuery = None) -> Response:
    """Record that two images are not duplicates, so that the pair is shown no more."""
    body = form.parse(schemas.NewDecision, image_ids=form.all("image_id"), decision="not-duplicate")
    row, _ = await service.decide(transaction, actor, body.image_ids)
    return go_to(DUPLICATES, team_id, decision_id=str(row["id"]))


@router.post(
    "/decisions/{decision_id}/undo",
    openapi_extra=same_as("DELETE /api/v1/duplicates/decisions/{decision_id}"),
)
async def undo(
    decision_id: UUID, actor: Writer, form: FormDep, transaction: TransactionDep, team_id: TeamQuery = None
) -> Response:
    """Delete a decision, so that the pair is shown again."""
    await service.undo(transaction, actor, decision_id)
    return go_to(DECISIONS, team_id, done="undone") if form.get("from") == "decisions" else go_to(DUPLICATES, team_id)
