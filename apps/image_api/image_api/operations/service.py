"""The rules of operations: who may begin, see and cancel them."""

import math
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from image_api import audit
from image_api.actor import Actor, Scope
from image_api.http.pagination import Cursor
from image_api.operations import ending, queries
from image_api.operations.items import NewItem
from image_core import errors
from image_core.db import Record, Runner, Transaction, to_json
from image_core.ids import new_id
from image_core.intake.nudges import nudge
from image_core.states import UNDER_WAY, OperationStatus

MOST_UNFINISHED = 20
"""Maximum number of unfinished operations of a team."""
MOST_FAILURES = 1000
"""Maximum number of failures in one response."""
_CANCEL_SCOPE = Scope.IMAGES_WRITE


async def create(
    transaction: Transaction,
    actor: Actor,
    kind: str,
    team_id: UUID | None,
    parameters: dict[str, Any],
    *,
    items: Sequence[NewItem] | None = None,
    budget: int | None = None,
    seconds_per_item: float = 0.01,
) -> UUID:
    """Begin an operation, and return its id. The caller has been found to be allowed what it does.

    Args:
        transaction: the request's.
        actor: the caller; the operation has the caller's role and scopes of this moment.
        kind: name of a kind in `tasks_app.KINDS`.
        team_id: the team to which it is limited; null, for admins only, for work on the whole platform.
        parameters: what the kind needs, as JSON. Members of the team see it, except for names with an underscore.
        items: its items, if they are known; otherwise the kind finds them.
        budget: credits that it may spend; null for no limit.
        seconds_per_item: for the estimate, where items are given.

    Raises:
        errors.TooManyOperations: The team has the maximum of unfinished operations.
    """
    if team_id is not None:
        await queries.lock_team(transaction, team_id)
    if await queries.count_unfinished(transaction, team_id) >= MOST_UNFINISHED:
        detail = f"Too many operations: the limit is {MOST_UNFINISHED} unfinished ones. Wait for one, or cancel it."
        raise errors.TooManyOperations(detail, limit=MOST_UNFINISHED)
    operation_id = new_id()
    known = {} if items is None else {
        "status": OperationStatus.RUNNING,
        "total": len(items),
        "size_bytes": sum(item.size_bytes for item in items),
        "estimated_credits": sum(item.credits for item in items),
        "estimated_minutes": minutes(len(items), seconds_per_item),
        "started_at": await queries.now(transaction),
    }  # fmt: skip
    await queries.add(
        transaction,
        {
            "id": operation_id, "team_id": team_id, "kind": kind, "parameters": to_json(parameters),
            "budget_credits": budget, "user_id": actor.user_id, "credential_id": actor.credential_id,
            "session_id": actor.session_id, "role": actor.role, "scopes": sorted(actor.scopes), **known,
        },
    )  # fmt: skip
    if items:
        await queries.add_items(transaction, operation_id, 1, items)
    await nudge(transaction, "operations")
    target = ("operation", operation_id)
    await audit.record(transaction, actor, "operation.created", target, team_id=team_id, after={"kind": kind})
    return operation_id


async def find_under_way(runner: Runner, kind: str, parameter: str, value: str) -> UUID | None:
    """Return the operation of the whole platform with this kind and this parameter that will begin items."""
    return await queries.find_under_way(runner, kind, parameter, value)


def minutes(items: int, seconds_per_item: float) -> int:
    """Return about how many minutes a number of items takes."""
    return math.ceil(items * seconds_per_item / 60)


async def list_operations(
    runner: Runner, actor: Actor, team_id: UUID | None, unfinished_only: bool, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the operations of the caller's team, newest first; an admin's may be of one team or of all.

    Raises:
        errors.TeamNotFound: It is another team.
    """
    return await queries.page(runner, actor.visible_team(team_id), unfinished_only, cursor, limit)


async def get_operation(runner: Runner, actor: Actor, operation_id: UUID) -> Record:
    """Return an operation that the caller may see.

    Raises:
        errors.OperationNotFound: There is none, or it is another team's.
    """
    return _require_found(await queries.find(runner, actor.visible_team_id, operation_id))


def _require_found(found: Record | None) -> Record:
    if found is None:
        raise errors.OperationNotFound
    return found


async def list_failures(runner: Runner, actor: Actor, operation_id: UUID, after_position: int) -> list[Record]:
    """Return the next failed items of an operation, at most `MOST_FAILURES`.

    Raises:
        errors.OperationNotFound: There is none, or it is another team's.
    """
    await get_operation(runner, actor, operation_id)
    return await queries.failures(runner, operation_id, after_position, MOST_FAILURES)


def may_cancel(actor: Actor, row: Record) -> bool:
    """Return whether the caller may cancel an operation that they see."""
    return row["user_id"] == actor.user_id or _CANCEL_SCOPE in actor.scopes


async def cancel(transaction: Transaction, actor: Actor, operation_id: UUID) -> Record:
    """Cancel an operation: when this has been committed, nothing new of it begins. Repeating it changes nothing.

    Raises:
        errors.OperationNotFound: There is none, or it is another team's.
        errors.ScopeMissing: It is somebody else's, and the caller lacks the scope to change images.
        errors.OperationFinished: It has succeeded or failed before.
    """
    row = _require_found(await queries.lock(transaction, actor.visible_team_id, operation_id))
    if not may_cancel(actor, row):
        raise errors.ScopeMissing(
            f"The caller lacks this scope: {_CANCEL_SCOPE}. Without it, you can cancel only your own operations.",
            missing_scopes=[_CANCEL_SCOPE],
        )
    if row["status"] == OperationStatus.CANCELLED:
        return row
    if row["status"] not in UNDER_WAY:
        raise errors.OperationFinished(f"The operation is over: its status is {row['status']}.")
    await ending.count(transaction, row, OperationStatus.CANCELLED)
    await audit.record(transaction, actor, "operation.cancelled", ("operation", operation_id), team_id=row["team_id"])
    return await get_operation(transaction, actor, operation_id)
