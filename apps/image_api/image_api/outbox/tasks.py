"""Housekeeping of the outbox: unpublished events, and events past their retention."""

from datetime import timedelta

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_core import events
from image_core.models import event

# Events are published right after the commit; older ones were left behind by a failure.
_LEFT_BEHIND = timedelta(seconds=5)


async def publish_left_behind(parts: TaskParts, budget: Budget) -> int:
    """Publish events that could not be published after their commit."""
    return await events.publish_backlog(
        parts.database, parts.publisher, _LEFT_BEHIND, should_continue=lambda: not budget.is_spent
    )


async def remove_old_events(parts: TaskParts, budget: Budget) -> int:
    """Remove published events past their retention."""
    return await remove_old(parts, budget, event.c.published_at, parts.settings.event_retention)
