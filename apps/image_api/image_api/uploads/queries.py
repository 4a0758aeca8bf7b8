"""The SQL of an upload: the row before the object, its completion, its end."""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Interval, LargeBinary, Text, Uuid, bindparam, exists, func, insert, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from image_api.images.columns import IMAGE_COLUMNS
from image_api.uploads.fields import UploadFields
from image_core.billing.storage_quota import StorageQuota
from image_core.db import Query, Record, Runner, Transaction, to_json
from image_core.images import transitions
from image_core.images.removal.lost_originals import IS_LOST
from image_core.models import HOLDS_BYTES_CLAUSE, image
from image_core.states import ImageStatus

_owner, _expected = bindparam("owner_id", type_=Uuid), bindparam("expected", type_=BigInteger)
_columns = (
    "id", "team_id", "uploaded_by", "content_type", "format", "object_name", "trace_parent", "deadline_at",
    "expected_bytes", "filename", "tags", "metadata",
)  # fmt: skip
_values = (
    bindparam("image_id", type_=Uuid), _owner, bindparam("user_id", type_=Uuid), bindparam("media_type", type_=Text),
    bindparam("kind", type_=Text), bindparam("object", type_=Text), bindparam("trace", type_=Text),
    func.now() + bindparam("deadline", type_=Interval), _expected, bindparam("new_filename", type_=Text),
    bindparam("new_tags", type_=ARRAY(Text)), bindparam("new_metadata", type_=JSONB),
)  # fmt: skip
_add_pending = Query(
    insert(image).from_select(
        _columns,
        select(*_values).where(
            func.storage_fits(
                _owner, _expected, bindparam("default_bytes", type_=BigInteger),
                bindparam("default_images", type_=BigInteger),
            )
        ),
    )
)  # fmt: skip
_other = image.alias("other")
_is_being_replaced = exists().where(
    _other.c.duplicate_of == image.c.id, _other.c.team_id == image.c.team_id, _other.c.status == ImageStatus.PENDING
)
_digest = bindparam("digest", type_=LargeBinary)
_lock_lost = Query(
    select(image.c.id)
    .where(
        image.c.team_id == bindparam("team_id"), image.c.size_bytes == _expected, IS_LOST,
        or_(_digest.is_(None), image.c.sha256 == _digest), image.c.deleted_at.is_(None), ~_is_being_replaced,
    )
    .order_by(image.c.id)
    .limit(1)
    .with_for_update(of=image)
)  # fmt: skip
_add_replacement = Query(
    insert(image).from_select(
        (*_columns, "duplicate_of"),
        select(*_values, image.c.id).where(
            image.c.id == bindparam("lost_id", type_=Uuid), image.c.team_id == _owner, ~_is_being_replaced
        ),
    )
)
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


class NewRow(NamedTuple):
    """The row of an upload; `fields` are given for one whose completion will not pass the API."""

    image_id: UUID
    team_id: UUID
    user_id: UUID
    object_name: str
    content_type: str
    kind: str | None
    trace_parent: str | None
    deadline: timedelta
    expected_bytes: int
    fields: UploadFields | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of the statements that add it."""
        fields = self.fields or UploadFields()
        return {
            "image_id": self.image_id, "owner_id": self.team_id, "user_id": self.user_id, "object": self.object_name,
            "media_type": self.content_type, "kind": self.kind, "trace": self.trace_parent, "deadline": self.deadline,
            "expected": self.expected_bytes, "new_filename": fields.filename,
            "new_tags": list(dict.fromkeys(fields.tags)), "new_metadata": to_json(fields.metadata),
        }  # fmt: skip


async def add_pending(runner: Runner, row: NewRow, quota: StorageQuota) -> bool:
    """Add the row of an upload before its body is received; return False, without a row, if the quota is full."""
    added = await runner.execute(_add_pending, **row.values, default_bytes=quota.bytes, default_images=quota.images)
    return added == 1


async def add_replacement(transaction: Transaction, row: NewRow, sha256: bytes | None) -> bool:
    """Add the row of an upload that may have the bytes of a lost original, whatever the quota; return False if none.

    Such a row names the image that it replaces, and never becomes an image: it ends as a duplicate, or is refused. Only
    one at a time replaces an original, so that sizes and hashes that are only claimed hold little more than the quota.
    """
    lost_id = await transaction.fetch_value(_lock_lost, team_id=row.team_id, expected=row.expected_bytes, digest=sha256)
    if lost_id is None:
        return False
    return await transaction.execute(_add_replacement, **row.values, lost_id=lost_id) == 1


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
