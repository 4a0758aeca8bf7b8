"""The SQL of upload tokens and their uses."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, Uuid, bindparam, func, insert, update

from image_core.db import Query, Transaction
from image_core.models import upload_by_token, upload_token

_use = Query(
    update(upload_token)
    .where(
        upload_token.c.id == bindparam("of_token_id"),
        upload_token.c.team_id == bindparam("owner_id"),
        upload_token.c.uploads < upload_token.c.max_uploads,
        upload_token.c.expires_at > func.now(),
    )
    .values(uploads=upload_token.c.uploads + 1)
)
_note = Query(
    insert(upload_by_token).values(
        image_id=bindparam("new_image_id", type_=Uuid), token_id=bindparam("new_token_id", type_=Uuid)
    )
)


async def add(transaction: Transaction, lifetime: timedelta, **values: Any) -> datetime:
    """Add a token; return when it expires."""
    added = insert(upload_token).values(**values, expires_at=func.now() + bindparam("lifetime", type_=Interval))
    expires_at: datetime = await transaction.fetch_value(added.returning(upload_token.c.expires_at), lifetime=lifetime)
    return expires_at


async def use(transaction: Transaction, team_id: UUID, token_id: UUID, image_id: UUID) -> bool:
    """Count an upload that a token opens; return False if it may open no more."""
    if not await transaction.execute(_use, of_token_id=token_id, owner_id=team_id):
        return False
    await transaction.execute(_note, new_image_id=image_id, new_token_id=token_id)
    return True
