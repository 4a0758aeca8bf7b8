"""The SQL of an upload: the row before the object, its completion, its end."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Interval, LargeBinary, Text, Uuid, bindparam, case, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from image_api.images.columns import IMAGE_COLUMNS
from image_core.billing.storage_quota import StorageQuota
from image_core.db import Database, Query, Record, Runner, Transaction
from image_core.models import HOLDS_BYTES_CLAUSE, discarded_object, image
from image_core.states import ImageStatus

_owner, _expected = bindparam("owner_id", type_=Uuid), bindparam("expected", type_=BigInteger)
_add_pending = Query(
    insert(image).from_select(
        [
            "id", "team_id", "uploaded_by", "content_type", "format", "object_name", "trace_parent", "deadline_at",
            "expected_bytes",
        ],
        select(
            bindparam("image_id", type_=Uuid), _owner, bindparam("user_id", type_=Uuid),
            bindparam("media_type", type_=Text), bindparam("kind", type_=Text), bindparam("object", type_=Text),
            bindparam("trace", type_=Text), func.now() + bindparam("deadline", type_=Interval), _expected,
        ).where(
            func.storage_fits(
                _owner, _expected, bindparam("default_bytes", type_=BigInteger),
                bindparam("default_images", type_=BigInteger),
            )
        ),
    )
)  # fmt: skip
_complete = Query(
    update(image)
    .where(image.c.id == bindparam("image_id"), image.c.status != ImageStatus.EXPIRED)
    .values(
        # The processor may have been first: the status never moves back, and only what is missing is filled in.
        status=case((image.c.status == "pending", "stored"), else_=image.c.status),
        size_bytes=func.coalesce(image.c.size_bytes, bindparam("bytes", type_=BigInteger)),
        sha256=func.coalesce(image.c.sha256, bindparam("digest", type_=LargeBinary)),
        generation=func.coalesce(image.c.generation, bindparam("object_generation", type_=BigInteger)),
        stored_at=func.coalesce(image.c.stored_at, func.now()),
        queued_at=func.coalesce(image.c.queued_at, func.now()),
        filename=bindparam("name", type_=Text),
        tags=bindparam("labels", type_=ARRAY(Text)),
        metadata=bindparam("pairs", type_=JSONB),
        revision=image.c.revision + 1,
        updated_at=func.now(),
    )
    .returning(*IMAGE_COLUMNS, bindparam("derivatives", None, type_=Text).label("derivatives"))
)
_find_twin = Query(
    select(image.c.id)
    .where(
        image.c.team_id == bindparam("team_id"),
        image.c.sha256 == bindparam("digest", type_=LargeBinary),
        HOLDS_BYTES_CLAUSE,
        image.c.purge_marked_at.is_(None),
    )
    .order_by(image.c.deleted_at.is_not(None), image.c.id)
    .limit(1)
)


async def add_pending(
    database: Database, image_id: UUID, team_id: UUID, user_id: UUID, object_name: str, content_type: str, kind: str,
    trace_parent: str | None, deadline: timedelta, expected_bytes: int, quota: StorageQuota,
) -> bool:  # fmt: skip
    """Commits the row of an upload that is about to be received; false, and no row, where the quota has no room."""
    added = await database.execute(
        _add_pending, image_id=image_id, owner_id=team_id, user_id=user_id, object=object_name,
        media_type=content_type, kind=kind, trace=trace_parent, deadline=deadline, expected=expected_bytes,
        default_bytes=quota.bytes, default_images=quota.images,
    )  # fmt: skip
    return added == 1


async def complete(transaction: Transaction, image_id: UUID, **values: Any) -> Record | None:
    """Fills in what is known now that the object is whole; None if the row has expired meanwhile.

    Raises `db.UniqueViolation` if the team holds these bytes already.
    """
    return await transaction.fetch_one(_complete, image_id=image_id, **values)


async def find_twin(runner: Runner, team_id: UUID, sha256: bytes) -> UUID | None:
    """The team's image with these bytes, a living one before one in the trash."""
    found: UUID | None = await runner.fetch_value(_find_twin, team_id=team_id, digest=sha256)
    return found


async def duplicate_of(runner: Runner, image_id: UUID) -> UUID | None:
    """The image that an expired one turned out to be a duplicate of."""
    found: UUID | None = await runner.fetch_value(select(image.c.duplicate_of).where(image.c.id == image_id))
    return found


async def expire(
    transaction: Transaction, image_id: UUID, code: str, message: str, twin_id: UUID | None = None
) -> bool:
    """Ends an upload that is still pending; false if it is not."""
    ended = await transaction.execute(
        update(image)
        .where(image.c.id == image_id, image.c.status == ImageStatus.PENDING)
        .values(
            status=ImageStatus.EXPIRED,
            failure_code=code,
            failure_message=message,
            duplicate_of=twin_id,
            revision=image.c.revision + 1,
            updated_at=func.now(),
        )
    )
    return ended == 1


async def discard_original(transaction: Transaction, discard_id: UUID, object_name: str, after: timedelta) -> None:
    """Asks the sweep to remove every generation of an original, not before `after` has passed."""
    now: Any = func.now()
    remove_after: datetime = now + after
    await transaction.execute(
        insert(discarded_object).values(
            id=discard_id, bucket="originals", object_name=object_name, remove_after=remove_after
        )
    )
