"""Events that could not be published after their commit, and those that are kept no longer."""

from datetime import timedelta

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_core import events
from image_core.models import event

# Publishing happens right after a commit; what is older than this was left behind.
_LEFT_BEHIND = timedelta(seconds=5)


async def publish_left_behind(parts: TaskParts, budget: Budget) -> int:
    """Publish events that could not be published after their commit."""
    return await events.publish_backlog(
        parts.database, parts.publisher, _LEFT_BEHIND, goes_on=lambda: not budget.is_spent
    )


async def remove_old_events(parts: TaskParts, budget: Budget) -> int:
    """Remove published events beyond their retention."""
    return await remove_old(parts, budget, event.c.published_at, parts.settings.event_retention)
