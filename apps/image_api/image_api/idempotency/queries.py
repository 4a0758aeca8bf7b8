"""The SQL of idempotency keys: claims in progress, and stored responses."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, LargeBinary, Text, and_, bindparam, delete, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from image_core.db import Database, Query, Record, Runner, Transaction
from image_core.models import idempotency_key

_OWN = and_(idempotency_key.c.user_id == bindparam("owner_id"), idempotency_key.c.key == bindparam("name"))
# A response, or the claim of a process whose lease has not expired.
_LIVE = and_(
    idempotency_key.c.expires_at > func.now(),
    or_(idempotency_key.c.status.is_not(None), idempotency_key.c.lease_expires_at > func.now()),
)
_ANSWER: dict[str, Any] = {
    "fingerprint": bindparam("digest", type_=LargeBinary),
    "status": bindparam("answer_status"),
    "headers": bindparam("answer_headers", type_=JSONB),
    "body": bindparam("answer_body", type_=LargeBinary),
    "expires_at": func.now() + bindparam("retention", type_=Interval),
}


def _put(**values: Any) -> Query:
    """Return the upsert of a row; it replaces an expired row and leaves a live one alone."""
    added = insert(idempotency_key).values(user_id=bindparam("owner_id"), key=bindparam("name"), **values)
    replaced = {
        column.name: added.excluded[column.name] for column in idempotency_key.columns if not column.primary_key
    }
    return Query(added.on_conflict_do_update(constraint=idempotency_key.primary_key, set_=replaced, where=~_LIVE))


_lock = Query(
    select(func.pg_try_advisory_xact_lock(func.hashtextextended(bindparam("name", type_=Text), literal_column("0"))))
)
_find = Query(
    select(
        idempotency_key.c.fingerprint, idempotency_key.c.status, idempotency_key.c.headers, idempotency_key.c.body
    ).where(_OWN, _LIVE)
)  # fmt: skip
_add_answer = _put(**_ANSWER)
_claim = _put(
    claim_token=bindparam("token"),
    lease_expires_at=func.now() + bindparam("lease", type_=Interval),
    expires_at=func.now() + bindparam("retention", type_=Interval),
)
_answer_claim = Query(
    update(idempotency_key)
    .where(_OWN, idempotency_key.c.claim_token == bindparam("token"))
    .values(**_ANSWER, claim_token=None, lease_expires_at=None)
)
_renew = Query(
    update(idempotency_key)
    .where(_OWN, idempotency_key.c.claim_token == bindparam("token"))
    .values(lease_expires_at=func.now() + bindparam("lease", type_=Interval))
)
_drop_claim = Query(delete(idempotency_key).where(_OWN, idempotency_key.c.claim_token == bindparam("token")))


async def lock(transaction: Transaction, user_id: UUID, key: str) -> bool:
    """Lock the key for the rest of the transaction without waiting; return False if it is locked elsewhere.

    PostgreSQL releases it when the transaction ends in any way, including the death of the process.
    """
    taken: bool = await transaction.fetch_value(_lock, name=f"{user_id} {key}")
    return taken


async def find(runner: Runner, user_id: UUID, key: str) -> Record | None:
    """Return the live row of the key: a response, or a claim, whose `status` is null."""
    return await runner.fetch_one(_find, owner_id=user_id, name=key)


async def add_answer(transaction: Transaction, user_id: UUID, key: str, **answer: Any) -> bool:
    """Store a response; return False if the key has a live row."""
    return await transaction.execute(_add_answer, owner_id=user_id, name=key, **answer) == 1


async def claim(database: Database, user_id: UUID, key: str, **values: Any) -> bool:
    """Commit a claim with a lease; return False if the key has a live row."""
    return await database.execute(_claim, owner_id=user_id, name=key, **values) == 1


async def answer_claim(database: Database, user_id: UUID, key: str, token: UUID, **answer: Any) -> None:
    """Commit the response in place of the claim with this token."""
    await database.execute(_answer_claim, owner_id=user_id, name=key, token=token, **answer)


async def renew(database: Database, user_id: UUID, key: str, token: UUID, lease: timedelta) -> bool:
    """Extend the lease of the claim with this token; return False if it is gone."""
    return await database.execute(_renew, owner_id=user_id, name=key, token=token, lease=lease) == 1


async def drop_claim(database: Database, user_id: UUID, key: str, token: UUID) -> None:
    """Remove the claim with this token."""
    await database.execute(_drop_claim, owner_id=user_id, name=key, token=token)
