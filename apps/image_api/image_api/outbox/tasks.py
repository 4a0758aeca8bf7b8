"""Housekeeping of the outbox: unpublished events, and events past their retention."""

from datetime import timedelta

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import OLD_ROWS_BATCH, Budget, in_transactions, remove_old
from image_core import events
from image_core.db import Transaction
from image_core.feed import retention
from image_core.models import event

# Events are published right after the commit; older ones were left behind by a failure.
_LEFT_BEHIND = timedelta(seconds=5)


async def publish_left_behind(parts: TaskParts, budget: Budget) -> int:
    """Publish events that could not be published after their commit."""
    return await events.publish_backlog(
        parts.database, parts.publisher, _LEFT_BEHIND, should_continue=lambda: not budget.is_spent
    )


async def remove_old_events(parts: TaskParts, budget: Budget) -> int:
    """Remove published events past their retention: messages, and the feed from its beginning on."""
    age = parts.settings.event_retention
    others = await remove_old(parts, budget, event.c.published_at, age, event.c.topic != events.Topic.EVENTS)

    async def batch(transaction: Transaction) -> int:
        return await retention.remove_old(transaction, age, OLD_ROWS_BATCH)

    from_feed, _ = await in_transactions(parts, budget, batch, OLD_ROWS_BATCH)
    return others + from_feed
