"""What `image-tasks` does for webhooks: events become deliveries, deliveries are sent, and old ones are removed."""

import asyncio
from datetime import timedelta
from uuid import UUID

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_api.webhooks.sending import queries
from image_api.webhooks.sending.fan_out import fan_out
from image_api.webhooks.sending.sender import Sender
from image_core.models import webhook_delivery
from image_core.telemetry import log

PUSH_SECONDS = 40.0
"""How long a push goes on sending. An attempt may take 15 seconds more, and the push has 60."""
KEPT_FOR = timedelta(days=30)
STUCK_AFTER = timedelta(minutes=15)
_POLLS, _POLL_SECONDS = 60, 0.05


async def on_event(parts: TaskParts, event_id: UUID) -> bool:
    """Send an event; return False if the feed has not come so far yet, so that it must be told again."""
    if parts.webhook_master is None:
        return True
    has_passed = await _pass(parts, event_id)
    await send(parts, PUSH_SECONDS)
    return has_passed


async def _pass(parts: TaskParts, event_id: UUID) -> bool:
    """Turn the feed into deliveries until it has passed an event; return False if it does not in time."""
    sender = parts.keep(Sender)
    place = await queries.place_of(parts.database, event_id)
    for _ in range(_POLLS):
        await fan_out(parts, sender.now())
        if place is None or await queries.position(parts.database) >= place:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


async def send(parts: TaskParts, seconds: float) -> int:
    """Send what is due for so long; return how many attempts were made."""
    return await parts.keep(Sender).run(seconds)


async def send_due(parts: TaskParts, budget: Budget) -> int:
    """Turn what no push has told of into deliveries, and send what is due."""
    if parts.webhook_master is None:
        return 0
    now = parts.keep(Sender).now()
    added = await fan_out(parts, now)
    ended = await queries.end_exhausted(parts.database, now)
    return added + ended + await send(parts, budget.seconds)


async def report_stuck(parts: TaskParts, _budget: Budget) -> int:
    """Write a log line, which raises an alert, while nothing is sent to endpoints that work; return how many."""
    if parts.webhook_master is None:
        return 0
    count = await queries.count_stuck(parts.database, STUCK_AFTER)
    if count:
        log("webhooks_stuck", severity="WARNING", count=count)
    return count


async def remove_old_deliveries(parts: TaskParts, budget: Budget) -> int:
    """Remove deliveries, with their attempts, that are older than 30 days."""
    return await remove_old(parts, budget, webhook_delivery.c.created_at, KEPT_FOR)
