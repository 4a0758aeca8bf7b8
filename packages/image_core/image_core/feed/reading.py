"""Reads the feed: the events of the topic `events`, in the order of the transactions that wrote them.

A transaction may commit long after it wrote its event, so neither a time nor a sequence says which events are still to
come. The snapshot of a statement does: every transaction below its `xmin` has ended. The feed is what those have
written, ordered by (`xact`, `position`), and nothing is ever added before its end.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Integer, Uuid, bindparam, func, literal_column, select, true, tuple_

from image_core.db import Query, Record, Runner
from image_core.events import Topic
from image_core.models import Xid8, event, feed_epoch

CREDENTIAL_TYPES = "credential.%"
"""The types of events about keys, which only those see who may manage their own."""


class Position(NamedTuple):
    """A place in the feed: directly after one event, or before everything that a transaction wrote."""

    xact: int
    position: int


@dataclass(frozen=True)
class FeedEvent:
    """An event and its place in the feed."""

    event_id: UUID
    type: str
    team_id: UUID | None
    image_id: UUID | None
    payload: str
    """JSON text."""
    created_at: datetime
    position: Position


@dataclass(frozen=True)
class Page:
    """What follows a position."""

    events: list[FeedEvent]
    next_position: Position
    """Where to read on. After everything has been read it is the end of the feed, even if the last event is old."""
    has_more: bool
    epoch: UUID
    """The epoch in which these positions are valid."""
    is_complete: bool
    """Whether nothing is missing between the position that was asked for and the first event."""


_snapshot = func.pg_current_snapshot()
xmin = func.pg_snapshot_xmin(_snapshot, type_=Xid8)
"""Every transaction below it has ended."""
xmax = func.pg_snapshot_xmax(_snapshot, type_=Xid8)
"""No transaction has this id or a higher one yet."""
feed_order = tuple_(event.c.xact, event.c.position)
# Written out, because a plan for any parameter could not use the partial indexes.
in_feed = event.c.topic == literal_column(repr(Topic.EVENTS.value))
_newest = Query(select(xmin))


async def newest(runner: Runner) -> Position:
    """Return the end of the feed: what is read after it is new."""
    return Position(await runner.fetch_value(_newest), 0)


async def read(
    runner: Runner, team_id: UUID | None, after: Position, limit: int, *, with_credentials: bool = True
) -> Page:
    """Return up to `limit` events after a position, of one team or of everybody (None)."""
    statement = _reading(team_id is not None, with_credentials)
    values = {"xact": after.xact, "position": after.position, "limit": limit + 1}
    rows = await runner.fetch(statement, **values, **({} if team_id is None else {"team_id": team_id}))
    events = [_event_of(row) for row in rows if row["id"] is not None]
    has_more, shown = len(events) > limit, events[:limit]
    state = rows[0]
    end = max(after, Position(state["xmin"], 0))
    removed = Position(state["removed_xact"], state["removed_position"])
    return Page(
        events=shown,
        next_position=shown[-1].position if shown else end,
        has_more=has_more,
        epoch=state["epoch"],
        # A position ahead of the server's own counter was issued before a restore.
        is_complete=removed <= after and after.xact <= state["xmax"],
    )


@cache
def _reading(of_team: bool, with_credentials: bool) -> Query:
    """Build the statement. The state comes in the same one as the events, because both must be of one snapshot."""
    place = tuple_(bindparam("xact", type_=Xid8()), bindparam("position", type_=BigInteger))
    conditions = [in_feed, feed_order > place, event.c.xact < xmin]
    if of_team:
        conditions.append(event.c.team_id == bindparam("team_id", type_=Uuid))
    if not with_credentials:
        conditions.append(event.c.type.not_like(CREDENTIAL_TYPES))
    found = (
        select(
            event.c.id, event.c.type, event.c.team_id, event.c.image_id, event.c.payload, event.c.created_at,
            event.c.xact, event.c.position,
        )
        .where(*conditions)
        .order_by(event.c.xact, event.c.position)
        .limit(bindparam("limit", type_=Integer))
        .lateral()
    )  # fmt: skip
    state = (
        feed_epoch.c.epoch, feed_epoch.c.removed_xact, feed_epoch.c.removed_position,
        xmin.label("xmin"), xmax.label("xmax"),
    )  # fmt: skip
    joined = feed_epoch.outerjoin(found, true())
    return Query(select(*state, *found.c).select_from(joined).order_by(found.c.xact, found.c.position))


def _event_of(row: Record) -> FeedEvent:
    values: dict[str, Any] = {name: row[name] for name in ("type", "team_id", "image_id", "payload", "created_at")}
    return FeedEvent(event_id=row["id"], position=Position(row["xact"], row["position"]), **values)
