"""Housekeeping of counted requests."""

from datetime import timedelta

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_core.models import request_usage

KEPT_FOR = timedelta(days=400)


async def remove_old_counts(parts: TaskParts, budget: Budget) -> int:
    """Remove counts of requests of days long ago."""
    return await remove_old(parts, budget, request_usage.c.day, KEPT_FOR)
