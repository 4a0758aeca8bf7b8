"""Housekeeping of stored responses."""

from datetime import timedelta

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_core.models import idempotency_key


async def remove_expired(parts: TaskParts, budget: Budget) -> int:
    """Remove idempotency keys that have expired, with their responses."""
    return await remove_old(parts, budget, idempotency_key.c.expires_at, timedelta())
