"""`/console/operations`: work that takes long, with its progress, its failures, and how to cancel it."""

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireAnyOf, RequireScope
from image_api.batches.estimates import CHANGES
from image_api.console.forms import FormDep
from image_api.console.frame import go_to, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.images.batch_forms import WORDS
from image_api.console.policy import HOME
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.imports.service import FROM_BUCKET, FROM_URLS
from image_api.operations import service
from image_api.operations.body import operation_body
from image_api.reprocessing.service import REPROCESSING
from image_api.teams import service as teams
from image_api.users import service as users
from image_core.db import Record
from image_core.states import UNDER_WAY

OPERATIONS = f"{HOME}/operations"
MOST_FAILURES = 25
"""How many failures a page shows."""
router = APIRouter(prefix=OPERATIONS, include_in_schema=False, route_class=PageRoute)
Watcher = Annotated[Actor, Depends(RequireScope(Scope.IMAGES_READ))]
Canceller = Annotated[
    Actor,
    Depends(
        RequireAnyOf(
            Scope.IMAGES_WRITE, Scope.IMAGES_DELETE, Scope.ANALYSES_RUN, Scope.DELIVERY_MANAGE, Scope.IMAGES_READ
        )
    ),
]
_NAMES = {
    FROM_BUCKET: "Import of a bucket", FROM_URLS: "Import of addresses", REPROCESSING: "Failed images again",
    teams.REMOVAL: "Removal of a team", users.REMOVAL: "Removal of a user",
}  # fmt: skip
_CANCEL = same_as("POST /api/v1/operations/{operation_id}/cancel")


def operation_path(operation_id: UUID) -> str:
    """Return the path of the page of an operation."""
    return f"{OPERATIONS}/{operation_id}"


def _shown(row: Record) -> dict[str, Any]:
    """Return an operation with what pages say of it."""
    body = operation_body(row)
    action, kind = body["parameters"].get("action"), body["kind"]
    is_batch = (kind == CHANGES or action is not None) and action in WORDS
    name = WORDS[action].button if is_batch else _NAMES.get(kind) or re.sub("[-_]", " ", kind).capitalize()
    is_finished = body["finished_at"] is not None
    return body | {
        "name": name, "is_under_way": body["status"] in UNDER_WAY, "is_finished": is_finished,
        "over": body["done"] + body["failed"],
    }  # fmt: skip


@router.get("", openapi_extra=same_as("GET /api/v1/operations"))
async def show(
    request: Request, actor: Watcher, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None
) -> Response:
    """List operations, newest first."""
    rows = await service.list_operations(services.database, actor, team_id, False, cursor, DEFAULT_LIMIT + 1)
    shown = [_shown(row) for row in rows[:DEFAULT_LIMIT]]
    team_ids = {each["team_id"] for each in shown} - {None} if actor.is_admin and team_id is None else set()
    values = {
        "operations": shown, "next_cursor": next_cursor(rows, DEFAULT_LIMIT), "is_first": cursor is None,
        "names": await teams.team_names(services.database, actor, team_ids),
        "all_teams": actor.is_admin and not team_id,
    }  # fmt: skip
    return render(request, "operations.html", values, team_id=team_id)


@router.get(
    "/{operation_id}",
    openapi_extra=same_as("GET /api/v1/operations/{operation_id}", "GET /api/v1/operations/{operation_id}/failures"),
)
async def show_one(
    request: Request, operation_id: UUID, actor: Watcher, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Show an operation, its progress and its first failures."""
    row = await service.get_operation(services.database, actor, operation_id)
    failures = await service.list_failures(services.database, actor, operation_id, 0) if row["failed"] else []
    values = {
        "operation": _shown(row), "failures": failures[:MOST_FAILURES], "may_cancel": service.may_cancel(actor, row),
    }  # fmt: skip
    return render(request, "operation.html", values, team_id=team_id)


@router.get("/{operation_id}/cancel", openapi_extra=_CANCEL)
async def show_cancel(
    request: Request, operation_id: UUID, actor: Canceller, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Say what cancelling does."""
    row = await service.get_operation(services.database, actor, operation_id)
    return render(request, "operation_cancel.html", {"operation": _shown(row)}, team_id=team_id)


@router.post("/{operation_id}/cancel", openapi_extra=_CANCEL)
async def cancel(
    operation_id: UUID, actor: Canceller, _: FormDep, transaction: TransactionDep, team_id: TeamQuery = None
) -> Response:
    """Cancel the operation, and show it."""
    await service.cancel(transaction, actor, operation_id)
    return go_to(operation_path(operation_id), team_id)
