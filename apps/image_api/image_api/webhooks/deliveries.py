"""The rules of deliveries to webhooks: what was sent, tests, and sending again."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor, Scope
from image_api.http.pagination import Cursor
from image_api.teams import service as teams
from image_api.webhooks import STEP, queries, service
from image_core import errors
from image_core.db import Record, Runner, Transaction
from image_core.events import EventType
from image_core.feed.event_types import SENT_TYPES, is_about_keys
from image_core.ids import new_id
from image_core.intake.nudges import nudge

MOST_REPLAYED = 10_000
"""Events of one call."""


class Replayed(NamedTuple):
    """How many events are sent again, and the time of the first that is left for another call."""

    event_count: int
    next_since: datetime | None


async def list_deliveries(
    runner: Runner, actor: Actor, webhook_id: UUID, status: str | None, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the deliveries to a webhook, newest first.

    Raises:
        errors.WebhookNotFound.
    """
    row = await service.get_webhook(runner, actor, webhook_id)
    return await queries.deliveries(runner, row["team_id"], webhook_id, status, cursor, limit)


async def get_delivery(runner: Runner, actor: Actor, delivery_id: UUID) -> Record:
    """Return a delivery that the caller may see.

    Raises:
        errors.WebhookDeliveryNotFound: There is none, or it is another team's.
    """
    found = await queries.find_delivery(runner, actor.visible_team_id, delivery_id)
    if found is None:
        raise errors.WebhookDeliveryNotFound
    return found


async def list_attempts(runner: Runner, delivery: Record) -> list[Record]:
    """Return the attempts of a delivery, in their order."""
    return await queries.attempts(runner, delivery["team_id"], delivery["id"])


async def send_test(transaction: Transaction, actor: Actor, webhook_id: UUID) -> Record:
    """Send an event of the type `webhook.test` to one webhook; return its delivery.

    Raises:
        errors.WebhookNotFound, errors.WebhookDisabled, errors.TeamBeingRemoved.
    """
    row = await _enabled(transaction, actor, webhook_id)
    return await _add_one(transaction, actor, row, new_id(), EventType.WEBHOOK_TEST)


async def replay_delivery(transaction: Transaction, actor: Actor, delivery_id: UUID) -> Record:
    """Send the event of a delivery again; return the new delivery.

    Raises:
        errors.WebhookDeliveryNotFound, errors.WebhookDisabled, errors.TeamBeingRemoved.
        errors.ScopeMissing: The event is about a key, and the webhook is sent such events no more.
    """
    old = await get_delivery(transaction, actor, delivery_id)
    row = await _enabled(transaction, actor, old["webhook_id"])
    if is_about_keys(old["event_type"]) and not row["with_credentials"]:
        raise errors.ScopeMissing(
            f"The webhook gets no events about keys any more: they need the scope {Scope.KEYS_SELF}.",
            missing_scopes=[Scope.KEYS_SELF],
        )
    return await _add_one(transaction, actor, row, old["event_id"], old["event_type"])


async def replay_events(transaction: Transaction, actor: Actor, webhook_id: UUID, wanted: dict[str, Any]) -> Replayed:
    """Send events of a period again, the oldest first, up to `MOST_REPLAYED`.

    Args:
        transaction: the request's.
        actor: the caller.
        webhook_id: the webhook.
        wanted: `since`, `until`, `types` and `only_failed`.

    Raises:
        errors.WebhookNotFound, errors.WebhookDisabled, errors.TeamBeingRemoved.
        errors.ReplayInProgress: Another call does so for this webhook.
    """
    if not await queries.try_to_replay(transaction, webhook_id):
        raise errors.ReplayInProgress("Another replay of this webhook is being prepared. Wait for it to finish.")
    row = await _enabled(transaction, actor, webhook_id)
    types = [str(kind) for kind in wanted["types"] or row["types"] or SENT_TYPES]
    since, until = max(wanted["since"], row["created_at"]), wanted["until"] or row["now"]
    found = await queries.events_between(
        transaction, row, since, until, types, MOST_REPLAYED + 1, only_failed=wanted["only_failed"]
    )
    told = [(each["id"], each["type"]) for each in found[:MOST_REPLAYED]]
    await queries.add_deliveries(transaction, row["team_id"], webhook_id, told)
    await audit.record(
        transaction, actor, "webhook.replayed", ("webhook", webhook_id), team_id=row["team_id"],
        after={"count": len(told), "since": since.isoformat(), "until": until.isoformat()},
    )  # fmt: skip
    await nudge(transaction, STEP)
    return Replayed(len(told), found[MOST_REPLAYED]["created_at"] if len(found) > MOST_REPLAYED else None)


async def _enabled(transaction: Transaction, actor: Actor, webhook_id: UUID) -> Record:
    """Return a webhook to which something may be sent, locked against other replays.

    Raises:
        errors.WebhookNotFound, errors.WebhookDisabled, errors.TeamBeingRemoved.
    """
    row = await service.get_webhook(transaction, actor, webhook_id, lock=True)
    await teams.check_not_removing(transaction, actor, row["team_id"])
    if row["disabled"]:
        raise errors.WebhookDisabled("The webhook is disabled. Enable it first.")
    return row


async def _add_one(transaction: Transaction, actor: Actor, row: Record, event_id: UUID, kind: str) -> Record:
    (delivery_id,) = await queries.add_deliveries(transaction, row["team_id"], row["id"], [(event_id, str(kind))])
    action = "webhook.tested" if kind == EventType.WEBHOOK_TEST else "webhook.replayed"
    await audit.record(
        transaction, actor, action, ("webhook", row["id"]), team_id=row["team_id"], after={"event_id": str(event_id)}
    )
    await nudge(transaction, STEP)
    return await get_delivery(transaction, actor, delivery_id)
