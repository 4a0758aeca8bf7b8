"""The SQL of webhooks. Everything is limited to a team."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DateTime,
    Text,
    Uuid,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from image_api.http.pagination import Cursor, newest_first
from image_core.db import Query, Record, Runner, Transaction
from image_core.feed.reading import CREDENTIAL_TYPES, Position, in_feed
from image_core.ids import new_id
from image_core.models import event, webhook, webhook_attempt, webhook_delivery
from image_core.states import WebhookDeliveryStatus

_REPLAY_LOCK = 7_306_301_211
_delivery = webhook_delivery.c
COLUMNS = (
    *webhook.c,
    webhook.c.disabled_at.is_not(None).label("disabled"),
    func.now().label("now"),
)
DELIVERY_COLUMNS = (
    *(_delivery[name] for name in ("id", "webhook_id", "team_id", "event_id", "event_type", "replay", "status")),
    _delivery.attempts.label("attempt_count"), _delivery.due_at, _delivery.created_at, _delivery.ended_at,
)  # fmt: skip


async def now(runner: Runner) -> datetime:
    """Return the time of the transaction."""
    found: datetime = await runner.fetch_value(select(func.now()))
    return found


async def page(runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return the webhooks of a team, newest first."""
    statement = select(*COLUMNS).where(webhook.c.team_id == team_id)
    return await runner.fetch(newest_first(statement, webhook.c.created_at, webhook.c.id, cursor, limit))


async def find(runner: Runner, team_id: UUID | None, webhook_id: UUID, *, lock: bool = False) -> Record | None:
    """Return one webhook, locked if so wished; a null team means any, for an admin."""
    statement = select(*COLUMNS).where(webhook.c.id == webhook_id)
    if team_id is not None:
        statement = statement.where(webhook.c.team_id == team_id)
    return await runner.fetch_one(statement.with_for_update(key_share=True) if lock else statement)


async def count(runner: Runner, team_id: UUID) -> int:
    """Return how many webhooks a team has."""
    found: int = await runner.fetch_value(select(func.count()).select_from(webhook).where(webhook.c.team_id == team_id))
    return found


async def add(transaction: Transaction, team_id: UUID, since: Position, values: dict[str, Any]) -> UUID:
    """Insert a webhook and return its id."""
    webhook_id = values.pop("id")
    await transaction.execute(insert(webhook).values(id=webhook_id, team_id=team_id, **values, **from_now_on(since)))
    return UUID(str(webhook_id))


def from_now_on(end: Position) -> dict[str, Any]:
    """Return the columns that leave out what is committed by now; `end` is the end of the feed."""
    return {"since_xact": end.xact, "since_position": end.position, "since_snapshot": func.pg_current_snapshot()}


async def change(transaction: Transaction, team_id: UUID, webhook_id: UUID, values: dict[str, Any]) -> None:
    """Change a webhook."""
    await transaction.execute(
        update(webhook)
        .where(webhook.c.id == webhook_id, webhook.c.team_id == team_id)
        .values(revision=webhook.c.revision + 1, updated_at=func.now(), **values)
    )


async def remove(transaction: Transaction, team_id: UUID, webhook_id: UUID) -> None:
    """Delete a webhook with its deliveries."""
    await transaction.execute(delete(webhook).where(webhook.c.id == webhook_id, webhook.c.team_id == team_id))


async def end_pending(
    transaction: Transaction, team_id: UUID, webhook_id: UUID, *, only_about_keys: bool = False
) -> None:
    """End what is due at a webhook, or only events about keys."""
    about = [_delivery.event_type.like(CREDENTIAL_TYPES)] if only_about_keys else []
    await transaction.execute(
        update(webhook_delivery)
        .where(
            _delivery.webhook_id == webhook_id, _delivery.team_id == team_id,
            _delivery.status == WebhookDeliveryStatus.PENDING, *about,
        )
        .values(status=WebhookDeliveryStatus.ENDED, ended_at=func.now(), lease_until=None, lease_token=None)
    )  # fmt: skip


async def deliveries(
    runner: Runner, team_id: UUID, webhook_id: UUID, status: str | None, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the deliveries to a webhook, newest first."""
    statement = select(*DELIVERY_COLUMNS).where(_delivery.webhook_id == webhook_id, _delivery.team_id == team_id)
    if status is not None:
        statement = statement.where(_delivery.status == status)
    return await runner.fetch(newest_first(statement, _delivery.created_at, _delivery.id, cursor, limit))


async def find_delivery(runner: Runner, team_id: UUID | None, delivery_id: UUID) -> Record | None:
    """Return one delivery; a null team means any, for an admin."""
    statement = select(*DELIVERY_COLUMNS).where(_delivery.id == delivery_id)
    if team_id is not None:
        statement = statement.where(_delivery.team_id == team_id)
    return await runner.fetch_one(statement)


async def attempts(runner: Runner, team_id: UUID, delivery_id: UUID) -> list[Record]:
    """Return the attempts of a delivery, in their order."""
    return await runner.fetch(
        select(*webhook_attempt.c)
        .join(webhook_delivery)
        .where(webhook_attempt.c.delivery_id == delivery_id, _delivery.team_id == team_id)
        .order_by(webhook_attempt.c.number)
    )


async def try_to_replay(transaction: Transaction, webhook_id: UUID) -> bool:
    """Let no other transaction replay a webhook's events; return False if one does."""
    key = func.hashtextextended(cast(str(webhook_id), Text), _REPLAY_LOCK)
    return bool(await transaction.fetch_value(select(func.pg_try_advisory_xact_lock(key))))


_added = (
    func.unnest(
        bindparam("ids", type_=ARRAY(Uuid)), bindparam("event_ids", type_=ARRAY(Uuid)),
        bindparam("types", type_=ARRAY(Text)),
    )
    .table_valued("id", "event_id", "event_type", name="added")
    .render_derived()
)  # fmt: skip
_next_replay = (
    select(func.coalesce(func.max(_delivery.replay) + 1, 0))
    .where(
        _delivery.webhook_id == bindparam("webhook_id", type_=Uuid), _delivery.event_id == _added.c.event_id,
        _delivery.team_id == bindparam("team_id", type_=Uuid),
    )
    .scalar_subquery()
)  # fmt: skip
_add_deliveries = Query(
    insert_or_skip(webhook_delivery)
    .from_select(
        ["id", "team_id", "webhook_id", "event_id", "event_type", "replay", "due_at"],
        select(
            _added.c.id, bindparam("team_id", type_=Uuid), bindparam("webhook_id", type_=Uuid), _added.c.event_id,
            _added.c.event_type, _next_replay, func.now(),
        ),
    )
    # An event that is sent for the first time at this moment anyway.
    .on_conflict_do_nothing()
)  # fmt: skip


async def add_deliveries(
    transaction: Transaction, team_id: UUID, webhook_id: UUID, told: Sequence[tuple[UUID, str]]
) -> list[UUID]:
    """Add a delivery of each event (id, type) to a webhook, after those that it has; return their ids."""
    ids = [new_id() for _ in told]
    await transaction.execute(
        _add_deliveries, ids=ids, team_id=team_id, webhook_id=webhook_id,
        event_ids=[event_id for event_id, _ in told], types=[kind for _, kind in told],
    )  # fmt: skip
    return ids


async def events_between(
    runner: Runner,
    row: Record,
    since: datetime,
    until: datetime,
    types: Sequence[str],
    limit: int,
    *,
    only_failed: bool,
) -> list[Record]:
    """Return the team's events of these types in a period, oldest first, at most `limit`."""
    conditions = [
        in_feed, event.c.team_id == row["team_id"],
        event.c.type == func.any(bindparam("types", list(types), type_=ARRAY(Text))),
        event.c.created_at >= bindparam("since", since, type_=DateTime(timezone=True)),
        event.c.created_at < bindparam("until", until, type_=DateTime(timezone=True)),
    ]  # fmt: skip
    if not row["with_credentials"]:
        conditions.append(event.c.type.not_like(CREDENTIAL_TYPES))
    if only_failed:
        own = (
            _delivery.event_id == event.c.id, _delivery.webhook_id == row["id"], _delivery.team_id == row["team_id"],
        )  # fmt: skip
        status = webhook_delivery.c.status
        is_open_or_done = (status == WebhookDeliveryStatus.PENDING) | (status == WebhookDeliveryStatus.SUCCEEDED)
        conditions.append(~exists().where(*own, is_open_or_done))
    return await runner.fetch(
        select(event.c.id, event.c.type, event.c.created_at)
        .where(*conditions)
        .order_by(event.c.created_at, event.c.id)
        .limit(limit)
    )
