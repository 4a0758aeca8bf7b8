"""Housekeeping of the hashes of purged files."""

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget, remove_old
from image_core.images.removal.purged_hashes import REMEMBERED_FOR
from image_core.models import purged_hash


async def forget_old(parts: TaskParts, budget: Budget) -> int:
    """Forget files that were purged long ago."""
    return await remove_old(parts, budget, purged_hash.c.purged_at, REMEMBERED_FOR)
