"""The SQL that more than one step needs, and what the metrics show."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, and_, delete, func, select

from image_core.db import Database
from image_core.models import discarded_object, event


async def count_overdue_removals(database: Database) -> int:
    """Count the objects that should have been removed by now."""
    statement = select(func.count()).where(discarded_object.c.remove_after < func.now())
    return int(await database.fetch_value(statement.select_from(discarded_object)))


async def outbox_age_seconds(database: Database) -> float:
    """Return the age of the oldest event that is not published; 0 where there is none."""
    oldest = select(func.min(event.c.created_at)).where(event.c.published_at.is_(None)).scalar_subquery()
    age = await database.fetch_value(select(func.extract("epoch", func.now() - oldest)))
    return float(age or 0)


async def remove_oldest(
    database: Database, moment: Column[Any], age: timedelta, conditions: Sequence[ColumnElement[bool]], most: int
) -> int:
    """Delete about so many rows: a statement over all of them might never end within its time.

    Of most of these tables the role may read no other column.
    """
    old = and_(moment < func.now() - age, *conditions)
    oldest = select(moment).where(old).order_by(moment).limit(most).subquery()
    last = select(func.max(oldest.c[moment.name])).scalar_subquery()
    return await database.execute(delete(moment.table).where(old, moment <= last))
