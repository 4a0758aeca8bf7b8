"""The SQL of an upload: the row before the object, its completion, its end."""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Interval, LargeBinary, Text, Uuid, bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from image_api.images.columns import IMAGE_COLUMNS
from image_api.uploads.fields import UploadFields
from image_core.billing.storage_quota import StorageQuota
from image_core.db import Query, Record, Runner, Transaction, to_json
from image_core.images import transitions
from image_core.images.removal.lost_originals import IS_LOST
from image_core.models import HOLDS_BYTES_CLAUSE, image

_owner, _expected = bindparam("owner_id", type_=Uuid), bindparam("expected", type_=BigInteger)
_add_pending = Query(
    insert(image).from_select(
        [
            "id", "team_id", "uploaded_by", "content_type", "format", "object_name", "trace_parent", "deadline_at",
            "expected_bytes", "filename", "tags", "metadata",
        ],
        select(
            bindparam("image_id", type_=Uuid), _owner, bindparam("user_id", type_=Uuid),
            bindparam("media_type", type_=Text), bindparam("kind", type_=Text), bindparam("object", type_=Text),
            bindparam("trace", type_=Text), func.now() + bindparam("deadline", type_=Interval), _expected,
            bindparam("new_filename", type_=Text), bindparam("new_tags", type_=ARRAY(Text)),
            bindparam("new_metadata", type_=JSONB),
        ).where(
            func.storage_fits(
                _owner, _expected, bindparam("default_bytes", type_=BigInteger),
                bindparam("default_images", type_=BigInteger),
            )
        ),
    )
)  # fmt: skip
_lock_status = Query(
    select(image.c.status)
    .where(image.c.id == bindparam("image_id"), image.c.team_id == bindparam("team_id"))
    .with_for_update()
)
_complete = Query(
    transitions.complete_upload().returning(
        *IMAGE_COLUMNS, bindparam("derivatives", None, type_=Text).label("derivatives")
    )
)
_find_existing = Query(
    select(image.c.id, IS_LOST.label("is_lost"))
    .where(
        image.c.team_id == bindparam("team_id"),
        image.c.sha256 == bindparam("digest", type_=LargeBinary),
        HOLDS_BYTES_CLAUSE,
        image.c.purge_marked_at.is_(None),
    )
    .order_by(image.c.deleted_at.is_not(None), image.c.id)
    .limit(1)
)


class Existing(NamedTuple):
    """An image that the team has, and whether it has lost its original."""

    image_id: UUID
    is_lost: bool


async def add_pending(
    runner: Runner, image_id: UUID, team_id: UUID, user_id: UUID, object_name: str, content_type: str, kind: str | None,
    trace_parent: str | None, deadline: timedelta, expected_bytes: int, quota: StorageQuota,
    fields: UploadFields | None = None,
) -> bool:  # fmt: skip
    """Add the row of an upload before its body is received; return False, without a row, if the quota is full.

    `fields` are given for an upload whose completion will not pass the API.
    """
    fields = fields or UploadFields()
    added = await runner.execute(
        _add_pending, image_id=image_id, owner_id=team_id, user_id=user_id, object=object_name,
        media_type=content_type, kind=kind, trace=trace_parent, deadline=deadline, expected=expected_bytes,
        default_bytes=quota.bytes, default_images=quota.images,
        new_filename=fields.filename, new_tags=list(dict.fromkeys(fields.tags)), new_metadata=to_json(fields.metadata),
    )  # fmt: skip
    return added == 1


async def lock_status(transaction: Transaction, team_id: UUID, image_id: UUID) -> str | None:
    """Return the status of an upload's image, locked for the rest of the transaction."""
    status: str | None = await transaction.fetch_value(_lock_status, team_id=team_id, image_id=image_id)
    return status


async def complete(transaction: Transaction, image_id: UUID, **values: Any) -> Record | None:
    """Fill in the properties of the complete object; return None if the row has expired in the meantime.

    Raises:
        db.UniqueViolation: The team has these bytes already.
    """
    return await transaction.fetch_one(_complete, image_id=image_id, **values)


async def find_existing(runner: Runner, team_id: UUID, sha256: bytes) -> Existing | None:
    """Return the team's image with these bytes, preferably one outside the trash."""
    row = await runner.fetch_one(_find_existing, team_id=team_id, digest=sha256)
    return None if row is None else Existing(row["id"], row["is_lost"])


async def duplicate_of(runner: Runner, image_id: UUID) -> UUID | None:
    """Return the image of which an expired one is a duplicate."""
    found: UUID | None = await runner.fetch_value(select(image.c.duplicate_of).where(image.c.id == image_id))
    return found
