"""Deferred removal of objects: rows of `discarded_object`, written with the change that makes an object unnecessary."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, ColumnElement, Interval, bindparam, delete, func, insert

from image_core.db import Query, Transaction
from image_core.ids import new_id
from image_core.images.object_names import Bucket
from image_core.models import discarded_object

REMEMBERED = timedelta(hours=1)
"""How long objects outlast their rows: image-delivery uses the rows in its memory as long as a database may be away."""
_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=5), timedelta(days=1)


def _scheduled(remove_after: ColumnElement[datetime]) -> Query:
    # Parameter names begin with `new_`, because SQLAlchemy reserves the names of the columns.
    return Query(
        insert(discarded_object).values(
            id=bindparam("discard_id"), bucket=bindparam("new_bucket"), object_name=bindparam("new_object_name"),
            generation=bindparam("new_generation", type_=BigInteger), remove_after=remove_after,
        )
    )  # fmt: skip


_schedule_after = _scheduled(func.now() + bindparam("after", type_=Interval))
_schedule_at = _scheduled(bindparam("remove_at", type_=discarded_object.c.remove_after.type))


async def schedule_removal(
    transaction: Transaction,
    bucket: Bucket,
    object_name: str,
    generation: int | None,
    after: timedelta | datetime,
    discard_id: UUID | None = None,
) -> None:
    """Schedule the removal of an object, or of all objects under a name that ends in a slash.

    `after` is a delay or a time. Without a generation, every generation of the object is removed.
    """
    values = {
        "discard_id": discard_id or new_id(), "new_bucket": bucket, "new_object_name": object_name,
        "new_generation": generation,
    }  # fmt: skip
    if isinstance(after, datetime):
        await transaction.execute(_schedule_at, **values, remove_at=after)
    else:
        await transaction.execute(_schedule_after, **values, after=after)


def cancel_removal() -> Any:
    """Return the DELETE that cancels the removal `discard_id`, unless the sweep has already started it."""
    return (
        delete(discarded_object)
        .where(discarded_object.c.id == bindparam("discard_id"), discarded_object.c.attempts == 0)
        .returning(discarded_object.c.id)
    )


def retry_at(attempts: Column[Any]) -> ColumnElement[Any]:
    """Return the time of the next attempt, with exponential backoff over the number of past attempts."""
    return func.now() + func.least(_FIRST_RETRY * func.power(2, func.least(attempts, 20)), _LAST_RETRY)
