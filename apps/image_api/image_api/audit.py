"""Audit events: who changed what, written in the transaction of the change."""

from typing import Any
from uuid import UUID

from image_api.actor import Actor
from image_core.audit import events as audit
from image_core.db import Transaction


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
    """Record that `actor` did `action` to `target` (kind, id).

    `before` and `after` never hold a secret, and only the key names of an image's metadata. Without an actor, the
    caller needed no credentials.
    """
    event = audit.AuditEvent(
        action,
        *target,
        team_id,
        actor_user_id=actor.user_id if actor else None,
        credential_id=actor.credential_id if actor else None,
        session_id=actor.session_id if actor else None,
        before=before,
        after=after,
    )
    await audit.write(transaction, event)
