"""Discarding what was made of a preset that was removed: some images a message, which requests the next ones."""

from sqlalchemy import Integer, Table, Text, Uuid, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from image_core import events
from image_core.db import Query
from image_core.delivery.rendition_requests import discard_request
from image_core.images.discards import REMEMBERED, schedule_removal
from image_core.images.object_names import Bucket
from image_core.models import derivative, image, rendition
from image_core.telemetry import log
from image_processor.messages import PresetRemoved
from image_processor.parts import Outcome, Parts, committing

BATCH = 100

_images = Query(
    select(image.c.id)
    .where(image.c.team_id == bindparam("of_team_id", type_=Uuid), image.c.id < bindparam("before", type_=Uuid))
    .order_by(image.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)


def _remove(table: Table) -> Query:
    return Query(
        delete(table)
        .where(
            table.c.image_id == func.any(bindparam("image_ids", type_=ARRAY(Uuid))),
            table.c.preset == bindparam("of_preset", type_=Text),
            table.c.created_at < bindparam("removed_at", type_=table.c.created_at.type),
        )
        .returning(table.c.object_name)
    )


_remove_derivatives, _remove_renditions = _remove(derivative), _remove(rendition)


async def handle(parts: Parts, removed: PresetRemoved) -> Outcome:
    """Remove the rows of the next images, schedule the removal of their objects, and request what remains.

    Raises:
        errors.Unavailable: The database is unavailable; nothing was removed.
    """
    discarded = 0
    async with committing(parts) as transaction:
        rows = await transaction.fetch(_images, of_team_id=removed.team_id, before=removed.before, most=BATCH)
        image_ids = [row["id"] for row in rows]
        for statement in (_remove_derivatives, _remove_renditions):
            for row in await transaction.fetch(
                statement, image_ids=image_ids, of_preset=removed.preset, removed_at=removed.removed_at
            ):
                await schedule_removal(transaction, Bucket.DERIVATIVES, row["object_name"], None, REMEMBERED)
                discarded += 1
        if len(image_ids) == BATCH:
            following = discard_request(removed.team_id, removed.preset, removed.removed_at, image_ids[-1])
            await events.record(transaction, following)
    log("removed_preset_discarded", team_id=str(removed.team_id), images=len(image_ids), objects=discarded)
    return Outcome.DONE
