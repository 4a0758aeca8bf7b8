"""Housekeeping of the sessions of direct uploads."""

from sqlalchemy import delete, select

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import BATCH, Budget, in_batches
from image_core.models import image, upload_session
from image_core.states import ImageStatus


async def forget_ended(parts: TaskParts, budget: Budget) -> int:
    """Remove the sessions of images that no longer wait for bytes. Storage forgets them within a week by itself."""
    ended = (
        select(upload_session.c.image_id)
        .join_from(upload_session, image)
        .where(image.c.status != ImageStatus.PENDING)
        .limit(BATCH)
    )
    removal = delete(upload_session).where(upload_session.c.image_id.in_(ended.scalar_subquery()))

    async def remove() -> int:
        return await parts.database.execute(removal)

    return await in_batches(budget, remove)
