"""HTTP of near-duplicates."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope
from image_api.dependencies import CursorQuery, LimitQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.duplicates import schemas, service
from image_api.http.field_types import QueryInteger
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.idempotency.route import CreationDep, IdempotentRoute
from image_api.images.body import summary_body
from image_core.db import Record
from image_core.images.similarity import MAX_HASH_DISTANCE

router = APIRouter(prefix="/duplicates", tags=["duplicates"], route_class=IdempotentRoute)
Reader = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Writer = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_WRITE))]
MaxDistance = Annotated[
    QueryInteger,
    Query(
        ge=0, le=MAX_HASH_DISTANCE, description="Maximum distance of a pair, in bits of the perceptual hash: 0 to 7."
    ),
]
ImageQuery = Annotated[UUID | None, Query(description="Only the group of this image.")]
_NO_TEAM: dict[int | str, dict[str, Any]] = {404: {"description": "The team does not exist, or you may not see it."}}


def _body(row: Record) -> dict[str, Any]:
    return {**dict(row), "image_ids": [row["image_id_a"], row["image_id_b"]], "decision": "not-duplicate"}


@router.get("", response_model=schemas.DuplicatePage, responses=_NO_TEAM)
async def list_duplicates(
    actor: Reader,
    services: ServicesDep,
    max_distance: MaxDistance = MAX_HASH_DISTANCE,
    team_id: TeamQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
    image_id: ImageQuery = None,
) -> Any:
    """List groups of near-duplicate images. The group with the newest image comes first."""
    groups, following = await service.list_duplicates(
        services.database, actor, team_id, max_distance=max_distance, cursor=cursor, limit=limit, image_id=image_id,
    )  # fmt: skip
    base_url = services.settings.base_url
    items = [{**group, "images": [summary_body(row, base_url) for row in group["images"]]} for group in groups]
    return {"items": items, "next_cursor": following}


@router.post(
    "/decisions",
    status_code=201,
    response_model=schemas.Decision,
    responses={200: {"model": schemas.Decision, "description": "The decision already exists."}, **_NO_TEAM},
)
async def decide(body: schemas.NewDecision, actor: Writer, transaction: CreationDep, response: Response) -> Any:
    """Record that two images are not duplicates. The pair no longer appears in groups."""
    row, new = await service.decide(transaction, actor, body.image_ids)
    response.status_code = 201 if new else 200
    return _body(row)


@router.get("/decisions", response_model=schemas.DecisionPage, responses=_NO_TEAM)
async def list_decisions(
    actor: Reader,
    services: ServicesDep,
    team_id: TeamQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:
    """List the recorded decisions, newest first."""
    rows = await service.list_decisions(services.database, actor, team_id, cursor, limit + 1)
    return page_of(rows, limit, _body)


@router.delete("/decisions/{decision_id}", status_code=204)
async def undo(decision_id: UUID, actor: Writer, transaction: TransactionDep) -> None:
    """Delete a decision. The pair can appear in groups again."""
    await service.undo(transaction, actor, decision_id)
