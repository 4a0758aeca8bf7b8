"""Housekeeping of upload tokens."""

from datetime import timedelta

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_core.models import upload_token

_KEPT_FOR = timedelta(days=1)


async def remove_expired(parts: TaskParts, budget: Budget) -> int:
    """Remove tokens that expired a day ago."""
    return await remove_old(parts, budget, upload_token.c.expires_at, _KEPT_FOR)
