"""The SQL of direct uploads: sessions beside the rows of their images."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, LargeBinary, Uuid, bindparam, delete, func, insert, or_, select, update

from image_core.db import Query, Record, Runner, Transaction
from image_core.images import transitions
from image_core.images.removal.lost_originals import IS_LOST
from image_core.models import HOLDS_BYTES_CLAUSE, image, upload_by_token, upload_session
from image_core.states import ImageStatus

_add = Query(
    insert(upload_session).values(
        image_id=bindparam("new_image_id", type_=Uuid),
        size_bytes=bindparam("new_size_bytes", type_=BigInteger),
        sha256=bindparam("digest", type_=LargeBinary),
    )
)
_count_open = Query(
    select(func.count())
    .select_from(image)
    .join(upload_session)
    .where(image.c.team_id == bindparam("team_id"), image.c.status == ImageStatus.PENDING)
)
_await_bytes = Query(transitions.await_direct_upload().returning(image.c.deadline_at))
_keep_address = Query(
    update(upload_session)
    .where(upload_session.c.image_id == bindparam("of_image_id"))
    .values(address=bindparam("new_address", type_=LargeBinary))
)
_remove = Query(delete(upload_session).where(upload_session.c.image_id == bindparam("of_image_id")))
_find_twin = Query(
    select(image.c.id, image.c.size_bytes)
    .where(
        image.c.team_id == bindparam("team_id"),
        image.c.sha256 == bindparam("digest", type_=LargeBinary),
        HOLDS_BYTES_CLAUSE,
        image.c.purge_marked_at.is_(None),
        or_(image.c.deleted_at.is_(None), bindparam("in_trash", type_=Boolean)),
        # Only the bytes themselves can replace a lost original.
        ~IS_LOST,
    )
    .order_by(image.c.deleted_at.is_not(None), image.c.id)
    .limit(1)
)


async def add_session(transaction: Transaction, image_id: UUID, size_bytes: int, sha256: bytes | None) -> None:
    """Add the session of a pending image. Its address follows when storage has opened it."""
    await transaction.execute(_add, new_image_id=image_id, new_size_bytes=size_bytes, digest=sha256)


async def count_open(transaction: Transaction, team_id: UUID) -> int:
    """Return how many direct uploads of a team wait for their bytes."""
    count: int = await transaction.fetch_value(_count_open, team_id=team_id)
    return count


async def await_bytes(transaction: Transaction, image_id: UUID, deadline: timedelta) -> datetime | None:
    """Give an upload its deadline, now that its session is open; return None if its row has expired."""
    expires_at: datetime | None = await transaction.fetch_value(_await_bytes, image_id=image_id, deadline=deadline)
    return expires_at


async def keep_address(transaction: Transaction, image_id: UUID, address: bytes) -> None:
    """Keep the encrypted address of a session."""
    await transaction.execute(_keep_address, of_image_id=image_id, new_address=address)


async def remove_session(transaction: Transaction, image_id: UUID) -> None:
    """Remove the session of an image, if there is one."""
    await transaction.execute(_remove, of_image_id=image_id)


async def find_twin(runner: Runner, team_id: UUID, sha256: bytes, *, in_trash: bool) -> Record | None:
    """Return ID and size of the team's image with these bytes, preferably one outside the trash, or only such a one."""
    return await runner.fetch_one(_find_twin, team_id=team_id, digest=sha256, in_trash=in_trash)


async def find(runner: Runner, team_id: UUID | None, image_id: UUID, token_id: UUID | None) -> Record | None:
    """Return an image and its session; an image that waits for bytes without a session is none of these uploads.

    The holder of a token finds only uploads that the token has opened.
    """
    conditions: list[Any] = [image.c.id == image_id]
    if team_id is not None:
        conditions.append(image.c.team_id == team_id)
    if token_id is not None:
        own = select(upload_by_token.c.image_id).where(
            upload_by_token.c.image_id == image.c.id, upload_by_token.c.token_id == token_id
        )
        conditions.append(own.exists())
    return await runner.fetch_one(
        select(
            image.c.id, image.c.team_id, image.c.status, image.c.failure_code, image.c.failure_message,
            image.c.duplicate_of, image.c.object_name, image.c.deadline_at,
            func.coalesce(image.c.size_bytes, image.c.expected_bytes).label("size_bytes"), upload_session.c.address,
        )
        .outerjoin_from(image, upload_session)
        .where(*conditions, or_(image.c.status != ImageStatus.PENDING, upload_session.c.image_id.is_not(None)))
    )  # fmt: skip
