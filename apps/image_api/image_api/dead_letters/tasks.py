"""Housekeeping of dead letters: open ones are reported until somebody deals with them, handled ones are removed."""

from datetime import timedelta

from image_api.dead_letters import queries
from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_core.models import dead_letter
from image_core.telemetry import log

_KEPT_FOR = timedelta(days=31)


async def report_open(parts: TaskParts, _budget: Budget) -> int:
    """Write a log line, which raises an alert, while dead letters are open; return how many."""
    count = await queries.count_open(parts.database)
    if count:
        log("dead_letters_open", severity="ERROR", count=count)
    return count


async def remove_handled(parts: TaskParts, budget: Budget) -> int:
    """Remove dead letters that were handled a month ago."""
    return await remove_old(parts, budget, dead_letter.c.handled_at, _KEPT_FOR)
