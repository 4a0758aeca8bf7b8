"""Housekeeping of renditions: pictures that delivery made on demand and that nobody has asked for since."""

from sqlalchemy import Interval, bindparam, delete, func, select

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import BATCH, Budget, in_transactions
from image_core.db import Query, Transaction
from image_core.images.discards import REMEMBERED, schedule_removal
from image_core.images.object_names import Bucket
from image_core.models import rendition, rendition_failure
from image_core.states import FAILURE_REMEMBERED

_is_unused = rendition.c.last_used_on < func.current_date() - bindparam("retention", type_=Interval)
_take_unused = Query(
    delete(rendition)
    .where(
        rendition.c.id.in_(
            select(rendition.c.id).where(~rendition.c.eager, _is_unused).order_by(rendition.c.last_used_on).limit(BATCH)
        ),
        # Checked again on the row as it is when the delete has its lock: somebody may have used it meanwhile.
        _is_unused,
    )
    .returning(rendition.c.object_name)
)
_forget_failures = Query(
    delete(rendition_failure).where(rendition_failure.c.failed_at < func.now() - FAILURE_REMEMBERED)
)


async def remove_unused(parts: TaskParts, budget: Budget) -> int:
    """Remove renditions that were not used for a while; the ones made on processing stay."""

    async def batch(transaction: Transaction) -> int:
        rows = await transaction.fetch(_take_unused, retention=parts.settings.rendition_retention)
        for row in rows:
            await schedule_removal(transaction, Bucket.DERIVATIVES, row["object_name"], None, REMEMBERED)
        return len(rows)

    removed, _ = await in_transactions(parts, budget, batch, BATCH)
    return removed


async def forget_failures(parts: TaskParts, _budget: Budget) -> int:
    """Forget what could not be made, so that it is tried again when somebody asks for it."""
    return await parts.database.execute(_forget_failures)
