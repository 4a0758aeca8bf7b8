"""Removes old events from the feed, and remembers where it begins since."""

from datetime import timedelta
from itertools import takewhile

from sqlalchemy import BigInteger, Integer, Interval, bindparam, delete, func, select, tuple_, update

from image_core.db import Query, Transaction
from image_core.feed.reading import feed_order, in_feed, xmin
from image_core.models import Xid8, event, feed_epoch

# An event that could not be published yet is not old.
_is_old = func.coalesce(event.c.published_at < func.now() - bindparam("age", type_=Interval), False)
_last = tuple_(bindparam("xact", type_=Xid8()), bindparam("position", type_=BigInteger))
_first = Query(
    select(event.c.xact, event.c.position, _is_old.label("is_old"))
    .where(in_feed, event.c.xact < xmin)
    .order_by(event.c.xact, event.c.position)
    .limit(bindparam("limit", type_=Integer))
)
_remove = Query(delete(event).where(in_feed, feed_order <= _last, _is_old))
_remember = Query(
    update(feed_epoch).values(
        removed_xact=bindparam("xact", type_=Xid8()), removed_position=bindparam("position", type_=BigInteger)
    )
)


async def remove_old(transaction: Transaction, age: timedelta, limit: int) -> int:
    """Remove up to `limit` of the feed's first events, up to the first that is not older; return how many.

    A cursor before the last of them has expired from the same moment on.
    """
    rows = await transaction.fetch(_first, age=age, limit=limit)
    old = list(takewhile(lambda row: row["is_old"], rows))
    if not old:
        return 0
    last = {"xact": old[-1]["xact"], "position": old[-1]["position"]}
    removed = await transaction.execute(_remove, age=age, **last)
    await transaction.execute(_remember, **last)
    return removed
