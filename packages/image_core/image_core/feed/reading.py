"""Reads the feed: the events of the topic `events`, in the order of the transactions that wrote them.

A transaction may commit long after it wrote its event, so neither a time nor a sequence says which events are still to
come. The snapshot of a statement does: every transaction below its `xmin` has ended. The feed is what those have
written, ordered by (`xact`, `position`), and nothing is ever added before its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    Uuid,
    bindparam,
    func,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.sql.selectable import LateralFromClause

from image_core.db import Query, Record, Runner
from image_core.events import EventType, OutboxEvent, Topic
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

    def envelope(self) -> dict[str, Any]:
        """Return the event as messages, the feed and webhooks show it."""
        # A type that only a newer release knows is shown as well.
        return OutboxEvent(
            Topic.EVENTS, cast("EventType", self.type), orjson.loads(self.payload), self.team_id, self.image_id,
            event_id=self.event_id, created_at=self.created_at,
        ).envelope()  # fmt: skip


@dataclass(frozen=True)
class Page:
    """What follows a position."""

    events: list[FeedEvent]
    next_position: Position
    """Where to read on. After everything has been read it is the end of the feed, so that it does not age."""
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
_COLUMNS = (
    event.c.id, event.c.type, event.c.team_id, event.c.image_id, event.c.payload, event.c.created_at, event.c.xact,
    event.c.position,
)  # fmt: skip
_newest = Query(select(xmin))
_newest_of_image = Query(
    select(*_COLUMNS)
    .where(
        in_feed,
        event.c.team_id == bindparam("team_id", type_=Uuid),
        event.c.image_id == bindparam("image_id", type_=Uuid),
    )
    .order_by(event.c.xact.desc(), event.c.position.desc())
    .limit(bindparam("limit", type_=Integer))
)
_held_back = Query(
    select(func.coalesce(func.extract("epoch", func.now() - func.min(event.c.created_at)), 0)).where(
        in_feed, event.c.xact >= xmin
    )
)


async def newest(runner: Runner) -> Position:
    """Return the end of the feed: what is read after it is new."""
    return Position(await runner.fetch_value(_newest), 0)


async def lag_seconds(runner: Runner) -> float:
    """Return how long the oldest event waits for a transaction that is still open; 0 if none does."""
    return float(await runner.fetch_value(_held_back))


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
        next_position=shown[-1].position if has_more else end,
        has_more=has_more,
        epoch=state["epoch"],
        # A position ahead of the server's own counter was issued before a restore.
        is_complete=removed <= after and after.xact <= state["xmax"],
    )


async def newest_of_image(runner: Runner, team_id: UUID, image_id: UUID, limit: int) -> list[FeedEvent]:
    """Return the newest events about an image, newest first, also those that the feed does not show yet."""
    rows = await runner.fetch(_newest_of_image, team_id=team_id, image_id=image_id, limit=limit)
    return [_event_of(row) for row in rows]


class NewEvents(NamedTuple):
    """Which teams have events after a position; null is among them for events of no team."""

    team_ids: set[UUID | None]
    next_position: Position
    has_more: bool


async def new_events(runner: Runner, after: Position, limit: int) -> NewEvents:
    """Return which teams have events after a position, looking at up to `limit` events."""
    values = {"xact": after.xact, "position": after.position, "limit": limit}
    rows = await runner.fetch(_new_events(), **values)
    found = [row for row in rows if row["position"] is not None]
    has_more = len(found) == limit
    last = Position(found[-1]["xact"], found[-1]["position"]) if has_more else Position(rows[0]["xmin"], 0)
    return NewEvents({row["team_id"] for row in found}, max(after, last), has_more)


@cache
def _new_events() -> Query:
    found = _after(event.c.team_id, event.c.xact, event.c.position)
    joined = feed_epoch.outerjoin(found, true())
    return Query(select(xmin.label("xmin"), *found.c).select_from(joined).order_by(found.c.xact, found.c.position))


@cache
def _reading(of_team: bool, with_credentials: bool) -> Query:
    """Build the statement. The state comes in the same one as the events, because both must be of one snapshot."""
    conditions = []
    if of_team:
        conditions.append(event.c.team_id == bindparam("team_id", type_=Uuid))
    if not with_credentials:
        conditions.append(event.c.type.not_like(CREDENTIAL_TYPES))
    found = _after(*_COLUMNS, conditions=conditions)
    state = (
        feed_epoch.c.epoch, feed_epoch.c.removed_xact, feed_epoch.c.removed_position,
        xmin.label("xmin"), xmax.label("xmax"),
    )  # fmt: skip
    joined = feed_epoch.outerjoin(found, true())
    return Query(select(*state, *found.c).select_from(joined).order_by(found.c.xact, found.c.position))


def _after(*columns: Column[Any], conditions: Sequence[ColumnElement[bool]] = ()) -> LateralFromClause:
    """Build the part that finds the events after the position."""
    place = tuple_(bindparam("xact", type_=Xid8()), bindparam("position", type_=BigInteger))
    return (
        select(*columns)
        .where(in_feed, feed_order > place, event.c.xact < xmin, *conditions)
        .order_by(event.c.xact, event.c.position)
        .limit(bindparam("limit", type_=Integer))
        .lateral()
    )


def _event_of(row: Record) -> FeedEvent:
    values: dict[str, Any] = {name: row[name] for name in ("type", "team_id", "image_id", "payload", "created_at")}
    return FeedEvent(event_id=row["id"], position=Position(row["xact"], row["position"]), **values)
