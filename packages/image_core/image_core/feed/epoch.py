"""The epoch of the feed: after a restore, ids of transactions are used again, or are lower than those stored."""

from sqlalchemy import func, insert, literal_column, select, update
from sqlalchemy.engine import Engine

from image_core.db import Query, Runner
from image_core.feed.reading import in_feed, xmax, xmin
from image_core.ids import new_id
from image_core.models import Xid8, audit_event, event, feed_epoch, webhook, webhook_position

# pg8000 would send a number, which cannot be cast.
_BEGINNING = literal_column("'0'::xid8", Xid8)

_needed = Query(
    select(
        func.greatest(
            select(func.max(event.c.xact, type_=Xid8)).where(in_feed).scalar_subquery(),
            select(func.max(feed_epoch.c.removed_xact, type_=Xid8)).scalar_subquery(),
        )
        >= xmax
    )
)  # fmt: skip


async def is_needed(runner: Runner) -> bool:
    """Return whether events come from transactions that this server has not begun yet: it was filled from a dump."""
    return bool(await runner.fetch_value(_needed))


def begin(engine: Engine) -> str:
    """Begin a new epoch: every cursor expires, and what is stored stands before everything that is written from now on.

    Returns:
        The new epoch.
    """
    values = {
        "epoch": func.gen_random_uuid(), "removed_xact": _BEGINNING, "removed_position": 0, "started_at": func.now(),
    }  # fmt: skip
    with engine.begin() as connection:
        # Webhooks are sent nothing of the time before, or nothing once more.
        connection.execute(update(webhook_position).values(xact=xmin, position=0))
        connection.execute(update(webhook).values(since_xact=_BEGINNING, since_position=0, since_snapshot=None))
        connection.execute(update(event).where(event.c.xact > _BEGINNING).values(xact=_BEGINNING))
        begun = str(connection.execute(update(feed_epoch).values(values).returning(feed_epoch.c.epoch)).scalar_one())
        connection.execute(
            insert(audit_event).values(
                id=new_id(), action="feed.epoch_begun", target_type="feed", after={"epoch": begun}
            )
        )
    return begun
