"""SQL that several steps use."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, and_, delete, func, select

from image_core.db import Database
from image_core.models import discarded_object


async def count_overdue_removals(database: Database) -> int:
    """Count the objects whose removal is overdue."""
    statement = select(func.count()).where(discarded_object.c.remove_after < func.now())
    return int(await database.fetch_value(statement.select_from(discarded_object)))


async def remove_oldest(
    database: Database, moment: Column[Any], age: timedelta, conditions: Sequence[ColumnElement[bool]], limit: int
) -> int:
    """Delete about `limit` of the oldest rows: a statement over all of them might never finish within its time limit.

    For most of these tables, the role may read no other column.
    """
    old = and_(moment < func.now() - age, *conditions)
    oldest = select(moment).where(old).order_by(moment).limit(limit).subquery()
    last = select(func.max(oldest.c[moment.name])).scalar_subquery()
    return await database.execute(delete(moment.table).where(old, moment <= last))
