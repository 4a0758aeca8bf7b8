"""HTTP of operations."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireAnyOf, RequireScope
from image_api.dependencies import CursorQuery, LimitQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.guarded_route import GuardedRoute
from image_api.http.field_types import QueryInteger
from image_api.http.pagination import DEFAULT_LIMIT, page_of
from image_api.http.paths import API_PREFIX
from image_api.operations import schemas, service
from image_api.operations.body import failure_line, operation_body

router = APIRouter(prefix="/operations", tags=["operations"], route_class=GuardedRoute)
Watcher = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Canceller = Annotated[
    Actor,
    Depends(
        RequireAnyOf(
            Scope.IMAGES_WRITE, Scope.IMAGES_DELETE, Scope.ANALYSES_RUN, Scope.DELIVERY_MANAGE, Scope.IMAGES_READ
        )
    ),
]
_MEDIA_TYPE = "application/x-ndjson"
_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One failed item per line, as a JSON object with `position`, `image_id`, `code` and `detail`."
        " If there are more, the header `Link` has the URL of the next ones.",
        "content": {_MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


@router.get("", response_model=schemas.OperationPage)
async def list_operations(
    actor: Watcher,
    services: ServicesDep,
    team_id: TeamQuery = None,
    unfinished: Annotated[bool, Query(description="Only operations that are not finished.")] = False,
    limit: LimitQuery = DEFAULT_LIMIT,
    cursor: CursorQuery = None,
) -> Any:
    """List the operations of your team, newest first. They are kept for 30 days after their end.

    Platform admins see those of all teams and of the platform, or with `team_id` those of one team.
    """
    rows = await service.list_operations(services.database, actor, team_id, unfinished, cursor, limit + 1)
    return page_of(rows, limit, operation_body)


@router.get("/{operation_id}", response_model=schemas.Operation)
async def get_operation(operation_id: UUID, actor: Watcher, services: ServicesDep) -> Any:
    """Get an operation and its progress. Ask every few seconds, or watch for `operation.progressed` in the feed."""
    return operation_body(await service.get_operation(services.database, actor, operation_id))


@router.get("/{operation_id}/failures", response_class=Response, responses=_LINES)
async def list_operation_failures(
    operation_id: UUID,
    actor: Watcher,
    services: ServicesDep,
    after_position: Annotated[
        QueryInteger, Query(ge=0, le=2**53, description="Only items after this position, for the next ones.")
    ] = 0,
) -> Response:
    """List the items of an operation that failed, as lines of JSON (NDJSON), at most 1,000.

    `position` is the item's place in the operation, from 1; in an import it is the number of the line.
    """
    rows = await service.list_failures(services.database, actor, operation_id, after_position)
    lines = b"".join(orjson.dumps(failure_line(row)) + b"\n" for row in rows)
    headers = {}
    if len(rows) == service.MOST_FAILURES:
        following = f"{API_PREFIX}/operations/{operation_id}/failures?after_position={rows[-1]['position']}"
        headers["Link"] = f'<{following}>; rel="next"'
    return Response(lines, media_type=_MEDIA_TYPE, headers=headers)


@router.post(
    "/{operation_id}/cancel",
    response_model=schemas.Operation,
    responses={409: {"description": "The operation is over."}},
)
async def cancel_operation(operation_id: UUID, actor: Canceller, transaction: TransactionDep) -> Any:
    """Cancel an operation. After the response, nothing new of it begins; what is done stays done.

    What is in progress is finished and counted, and `finished_at` is null until then. You can cancel your own
    operations, and with the scope `images:write` those of others in your team. Repeating it changes nothing.
    """
    return operation_body(await service.cancel(transaction, actor, operation_id))
