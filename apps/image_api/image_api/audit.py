"""Audit events: who changed what, written in the transaction of the change."""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert

from image_api.actor import Actor
from image_core.db import Transaction, to_json
from image_core.ids import new_id
from image_core.models import audit_event
from image_core.telemetry import current_request


async def record(
    transaction: Transaction,
    actor: Actor | None,
    action: str,
    target: tuple[str, UUID],
    *,
    team_id: UUID | None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Writes that `actor` did `action` on `target` (kind, id). `before` and `after` never hold a secret.

    Without an actor it was somebody who need not say who they are.
    """
    context = current_request.get()
    statement = insert(audit_event).values(
        id=new_id(),
        team_id=team_id,
        actor_user_id=actor.user_id if actor else None,
        credential_id=actor.credential_id if actor else None,
        action=action,
        target_type=target[0],
        target_id=target[1],
        before=bindparam("before_json"),
        after=bindparam("after_json"),
        request_id=context.request_id if context else None,
        address=context.address if context else None,
    )
    await transaction.execute(
        statement,
        before_json=None if before is None else to_json(before),
        after_json=None if after is None else to_json(after),
    )
