"""The SQL of credentials."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from image_core.db import Record, Transaction
from image_core.models import credential, user


async def lock(transaction: Transaction, user_id: UUID, credential_id: UUID | None) -> Record | None:
    """A user's credential (its first by default) with its team, locked without waiting.

    Raises `db.LockNotAvailable` when somebody else holds it.
    """
    statement = (
        select(
            credential,
            user.c.team_id,
            user.c.disabled_at,
            func.now().label("now"),
        )
        .join(user, user.c.id == credential.c.user_id)
        .where(credential.c.user_id == user_id, credential.c.revoked_at.is_(None))
        .order_by(credential.c.created_at, credential.c.id)
        .limit(1)
        .with_for_update(of=credential, nowait=True)
    )
    if credential_id is not None:
        statement = statement.where(credential.c.id == credential_id)
    return await transaction.fetch_one(statement)


async def change(transaction: Transaction, credential_id: UUID, values: dict[str, Any]) -> None:
    """Updates a credential."""
    await transaction.execute(update(credential).where(credential.c.id == credential_id).values(**values))
