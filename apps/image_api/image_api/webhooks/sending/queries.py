"""The SQL of fan-out and sending, which serves every team."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Interval,
    Text,
    Uuid,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from image_api.webhooks.sending.schedule import MOST_ATTEMPTS
from image_api.webhooks.sending.slots import MOST_OF_ENDPOINT, Candidate
from image_core import events
from image_core.db import Query, Record, Runner, Transaction
from image_core.feed.reading import CREDENTIAL_TYPES, Position, feed_order, in_feed
from image_core.ids import new_id
from image_core.models import Xid8, event, team, webhook, webhook_attempt, webhook_delivery, webhook_position
from image_core.states import WebhookDeliveryStatus, WebhookEnd

LEASE = timedelta(seconds=60)
"""An attempt takes 15 seconds at most; whoever is killed leaves its delivery to others after this time."""
_LOCK = 7_306_301_210
_delivery = webhook_delivery.c
# Written out, because a plan for any parameter could not use the partial index.
IS_PENDING = _delivery.status == literal_column("'pending'")
_now = bindparam("now", type_=DateTime(timezone=True))
_team_stays = ~exists().where(team.c.id == webhook.c.team_id, team.c.deleting_at.is_not(None))

_position = Query(select(webhook_position.c.xact, webhook_position.c.position))
_move = Query(
    update(webhook_position).values(
        xact=bindparam("xact", type_=Xid8()), position=bindparam("new_position", type_=BigInteger)
    )
)
# It gives the transaction no id, which would hide from it what others commit meanwhile.
_try_to_lead = Query(select(func.pg_try_advisory_xact_lock(_LOCK)))
_place_of = Query(select(event.c.xact, event.c.position).where(event.c.id == bindparam("event_id"), in_feed))
_wanted = Query(
    select(event.c.id.label("event_id"), event.c.type, webhook.c.id.label("webhook_id"), webhook.c.team_id)
    .join(webhook, webhook.c.team_id == event.c.team_id)
    .where(
        event.c.id == func.any(bindparam("event_ids", type_=ARRAY(Uuid))),
        webhook.c.disabled_at.is_(None),
        or_(webhook.c.types.is_(None), event.c.type == func.any(webhook.c.types)),
        or_(webhook.c.with_credentials, event.c.type.not_like(CREDENTIAL_TYPES)),
        feed_order >= tuple_(webhook.c.since_xact, webhook.c.since_position),
        # Committed before the endpoint was created or enabled, but held back by a transaction that was still open.
        func.pg_visible_in_snapshot(event.c.xact, webhook.c.since_snapshot).is_not(True),
        _team_stays,
    )
    .order_by(event.c.xact, event.c.position, webhook.c.id)
)
_added = (
    func.unnest(
        bindparam("ids", type_=ARRAY(Uuid)), bindparam("team_ids", type_=ARRAY(Uuid)),
        bindparam("webhook_ids", type_=ARRAY(Uuid)), bindparam("event_ids", type_=ARRAY(Uuid)),
        bindparam("types", type_=ARRAY(Text)),
    )
    .table_valued("id", "team_id", "webhook_id", "event_id", "event_type", name="added")
    .render_derived()
)  # fmt: skip
# An endpoint that is removed meanwhile is left out: the foreign key would refuse the others as well.
_kept = (
    select(webhook.c.id)
    .where(webhook.c.id == func.any(bindparam("webhook_ids", type_=ARRAY(Uuid))))
    .with_for_update(read=True, key_share=True)
    .cte("kept")
)
_add = Query(
    insert_or_skip(webhook_delivery)
    .from_select(
        ["id", "team_id", "webhook_id", "event_id", "event_type", "due_at"],
        select(*_added.c, _now).where(_added.c.webhook_id.in_(select(_kept.c.id))),
    )
    .on_conflict_do_nothing()
)

_is_due = and_(
    IS_PENDING, _delivery.due_at <= _now, or_(_delivery.lease_until.is_(None), _delivery.lease_until <= _now),
    _delivery.attempts < MOST_ATTEMPTS,
)  # fmt: skip
_may_be_sent = and_(
    webhook.c.disabled_at.is_(None), or_(webhook.c.held_until.is_(None), webhook.c.held_until <= _now), _team_stays
)
_due_of_endpoint = (
    select(_delivery.id)
    .where(_delivery.webhook_id == webhook.c.id, _is_due)
    .order_by(_delivery.due_at)
    .limit(MOST_OF_ENDPOINT)
    .lateral()
)
_candidates = Query(
    select(
        _due_of_endpoint.c.id, webhook.c.id.label("webhook_id"), webhook.c.team_id,
        func.coalesce(webhook.c.last_succeeded, literal_column("false")).label("is_proven"),
    )
    .select_from(webhook.join(_due_of_endpoint, literal_column("true")))
    .where(_may_be_sent)
)  # fmt: skip
# Another instance may have tried them since they were found.
_claimable = (
    select(_delivery.id)
    .where(_delivery.id == func.any(bindparam("delivery_ids", type_=ARRAY(Uuid))), _is_due)
    .with_for_update(skip_locked=True)
)
_claim = Query(
    update(webhook_delivery)
    .where(_delivery.id.in_(_claimable.scalar_subquery()), webhook.c.id == _delivery.webhook_id, _may_be_sent)
    .values(
        attempts=_delivery.attempts + 1, lease_until=bindparam("lease_until", type_=DateTime(timezone=True)),
        lease_token=bindparam("token", type_=Uuid),
    )
    .returning(
        _delivery.id.label("delivery_id"), _delivery.event_id, _delivery.event_type, _delivery.attempts,
        _delivery.created_at.label("asked_at"), webhook.c.id, webhook.c.team_id, webhook.c.url,
        webhook.c.secret_version, webhook.c.master_id, webhook.c.previous_secret_version,
        webhook.c.previous_master_id, webhook.c.previous_secret_until, webhook.c.last_succeeded,
        webhook.c.failing_since,
    )
)  # fmt: skip
_events = Query(
    select(*events.COLUMNS).where(event.c.id == func.any(bindparam("event_ids", type_=ARRAY(Uuid))), in_feed)
)  # fmt: skip
_next_due = Query(
    select(func.min(func.greatest(_delivery.due_at, _delivery.lease_until, webhook.c.held_until)))
    .select_from(webhook_delivery)
    .join(webhook)
    .where(
        IS_PENDING, webhook.c.disabled_at.is_(None), _team_stays, _delivery.due_at <= bindparam("until"),
        _delivery.attempts < MOST_ATTEMPTS,
    )
)  # fmt: skip
_is_ours = (_delivery.id == bindparam("delivery_id"), IS_PENDING, _delivery.lease_token == bindparam("token"))
_finished = (
    update(webhook_delivery)
    .where(*_is_ours)
    .values(
        status=bindparam("new_status", type_=Text),
        due_at=func.coalesce(bindparam("due_at", type_=DateTime(timezone=True)), _delivery.due_at),
        ended_at=bindparam("ended_at", type_=DateTime(timezone=True)), lease_until=None, lease_token=None,
    )
    .returning(_delivery.id, _delivery.attempts)
    .cte("finished")
)  # fmt: skip
_SEEN = ("started_at", "duration_ms", "status", "error", "response")
# One statement, so that an attempt at an endpoint that works is one round trip and one commit.
_finish = Query(
    insert(webhook_attempt)
    .from_select(
        ["delivery_id", "number", *_SEEN],
        select(
            _finished.c.id, _finished.c.attempts,
            *(bindparam(name, type_=webhook_attempt.c[name].type) for name in _SEEN),
        ),
    )
    .add_cte(_finished)
)  # fmt: skip
_put_back = Query(
    update(webhook_delivery)
    .where(*_is_ours)
    .values(
        attempts=_delivery.attempts - 1, lease_until=None, lease_token=None,
        due_at=bindparam("due_at", type_=DateTime(timezone=True)),
    )
)  # fmt: skip
_one = webhook.c.id == bindparam("webhook_id", type_=Uuid)
_lock = Query(select(webhook.c.url, webhook.c.failing_since).where(_one).with_for_update(key_share=True))
_succeed = Query(update(webhook).where(_one).values(last_succeeded=True, failing_since=None))
_fail = Query(
    update(webhook)
    .where(_one)
    .values(
        last_succeeded=False,
        failing_since=func.coalesce(webhook.c.failing_since, _now),
        held_until=func.greatest(webhook.c.held_until, bindparam("held_until", type_=DateTime(timezone=True))),
    )
)
_disable = Query(
    update(webhook)
    .where(_one, webhook.c.disabled_at.is_(None))
    .values(
        disabled_at=_now, disabled_reason=bindparam("reason", type_=Text), revision=webhook.c.revision + 1,
        updated_at=_now,
    )
    .returning(webhook.c.team_id)
)  # fmt: skip
_end = Query(
    update(webhook_delivery)
    .where(_delivery.webhook_id == bindparam("webhook_id", type_=Uuid), IS_PENDING)
    .values(status=WebhookDeliveryStatus.ENDED, ended_at=_now, lease_until=None, lease_token=None)
)
_end_exhausted = Query(
    update(webhook_delivery)
    .where(IS_PENDING, _delivery.attempts >= MOST_ATTEMPTS, _delivery.lease_until <= _now)
    .values(status=WebhookDeliveryStatus.FAILED, ended_at=_now, lease_until=None, lease_token=None)
)
# Of endpoints that answer well. What is put back without an attempt is due again and again, but is never tried.
_long_ago = func.now() - bindparam("age", type_=Interval)
_is_overdue = exists().where(
    _delivery.webhook_id == webhook.c.id, IS_PENDING,
    or_(_delivery.due_at < _long_ago, and_(_delivery.attempts == 0, _delivery.created_at < _long_ago)),
)  # fmt: skip
_count_stuck = Query(
    select(func.count())
    .select_from(webhook)
    .where(
        webhook.c.disabled_at.is_(None), or_(webhook.c.held_until.is_(None), webhook.c.held_until < _long_ago),
        webhook.c.last_succeeded.is_not(False), _team_stays, _is_overdue,
        ~exists().where(_delivery.webhook_id == webhook.c.id, _delivery.ended_at >= _long_ago),
    )
)  # fmt: skip


async def try_to_lead(transaction: Transaction) -> bool:
    """Let no other transaction turn events into deliveries; return False if one does."""
    return bool(await transaction.fetch_value(_try_to_lead))


async def position(runner: Runner) -> Position:
    """Return how far the feed has been turned into deliveries."""
    row = await runner.fetch_one(_position)
    assert row is not None  # noqa: S101 (the migration has written it)
    return Position(row["xact"], row["position"])


async def move(transaction: Transaction, to: Position) -> None:
    """Store how far the feed has been turned into deliveries."""
    await transaction.execute(_move, xact=to.xact, new_position=to.position)


async def place_of(runner: Runner, event_id: UUID) -> Position | None:
    """Return the place of an event in the feed; None if it has none."""
    row = await runner.fetch_one(_place_of, event_id=event_id)
    return None if row is None else Position(row["xact"], row["position"])


async def add_deliveries(transaction: Transaction, event_ids: Sequence[UUID], now: datetime) -> int:
    """Add a delivery of each event to each endpoint that wants it, unless there is one; return how many."""
    rows = await transaction.fetch(_wanted, event_ids=list(event_ids))
    if not rows:
        return 0
    return await transaction.execute(
        _add,
        ids=[new_id() for _ in rows],
        team_ids=[row["team_id"] for row in rows],
        webhook_ids=[row["webhook_id"] for row in rows],
        event_ids=[row["event_id"] for row in rows],
        types=[row["type"] for row in rows],
        now=now,
    )


async def candidates(runner: Runner, now: datetime) -> list[Candidate]:
    """Return what is due, a few deliveries an endpoint."""
    return [Candidate(*(row[index] for index in range(4))) for row in await runner.fetch(_candidates, now=now)]


async def claim(runner: Transaction, delivery_ids: list[UUID], token: UUID, now: datetime) -> list[Record]:
    """Take deliveries for an attempt and count it; skip those that somebody else takes."""
    return await runner.fetch(_claim, delivery_ids=delivery_ids, token=token, now=now, lease_until=now + LEASE)


async def events_of(runner: Runner, event_ids: list[UUID]) -> list[Record]:
    """Return the events with these ids."""
    return await runner.fetch(_events, event_ids=event_ids)


async def next_due(runner: Runner, until: datetime) -> datetime | None:
    """Return when the next delivery can be tried, among those that are due until a time."""
    found: datetime | None = await runner.fetch_value(_next_due, until=until)
    return found


async def finish(
    runner: Runner,
    delivery_id: UUID,
    token: UUID,
    status: str,
    due_at: datetime | None,
    now: datetime,
    seen: Mapping[str, object],
) -> bool:
    """Record an attempt and what became of its delivery; return False if that is somebody else's, or has ended."""
    ended_at = None if status == WebhookDeliveryStatus.PENDING else now
    values = {"delivery_id": delivery_id, "token": token, "new_status": status, "due_at": due_at, "ended_at": ended_at}
    return bool(await runner.execute(_finish, **values, **seen))


async def put_back(runner: Runner, delivery_id: UUID, token: UUID, due_at: datetime) -> None:
    """Give a delivery back for which nothing could be sent; the attempt does not count."""
    await runner.execute(_put_back, delivery_id=delivery_id, token=token, due_at=due_at)


async def lock_endpoint(transaction: Transaction, webhook_id: UUID) -> Record | None:
    """Lock an endpoint; None if it was removed."""
    return await transaction.fetch_one(_lock, webhook_id=webhook_id)


async def note_success(transaction: Transaction, webhook_id: UUID) -> None:
    """Note that the endpoint works."""
    await transaction.execute(_succeed, webhook_id=webhook_id)


async def note_failure(transaction: Transaction, webhook_id: UUID, held_until: datetime | None, now: datetime) -> None:
    """Note that the endpoint fails, and until when nothing is sent to it."""
    await transaction.execute(_fail, webhook_id=webhook_id, held_until=held_until, now=now)


async def disable(transaction: Transaction, webhook_id: UUID, reason: WebhookEnd, now: datetime) -> UUID | None:
    """Disable an endpoint and end what is due there; return its team, or None if it is disabled already."""
    team_id: UUID | None = await transaction.fetch_value(_disable, webhook_id=webhook_id, reason=reason, now=now)
    if team_id is not None:
        await transaction.execute(_end, webhook_id=webhook_id, now=now)
    return team_id


async def end_exhausted(runner: Runner, now: datetime) -> int:
    """End deliveries whose last attempt was cut off; return how many."""
    return await runner.execute(_end_exhausted, now=now)


async def count_stuck(runner: Runner, age: timedelta) -> int:
    """Return to how many endpoints that work nothing was sent for so long, although something is due."""
    return int(await runner.fetch_value(_count_stuck, age=age))
