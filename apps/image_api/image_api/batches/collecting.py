"""What a batch does with a collection."""

from collections.abc import Sequence
from uuid import UUID

from image_api.actor import Actor
from image_api.batches.schemas import BatchAction
from image_api.collections import service as collections
from image_core import errors
from image_core.db import Record, Transaction


async def collect(
    transaction: Transaction,
    actor: Actor,
    collection_id: UUID,
    action: BatchAction,
    found: Sequence[Record],
    most: int,
    tried: int,
) -> tuple[set[UUID], dict[UUID, errors.AppError]]:
    """Add locked images to a collection that takes `most`, or remove them from it.

    `tried` is the number of images that are thought to be in it as well. Return the images that changed the collection,
    and why others could not.

    Raises:
        errors.CollectionNotFound: The collection does not exist, or belongs to another team.
    """
    collection = await collections.lock(transaction, actor, collection_id)
    refused: dict[UUID, errors.AppError] = {
        row["id"]: errors.ImageNotFound() for row in found if row["team_id"] != collection["team_id"]
    }
    own = [row["id"] for row in found if row["id"] not in refused]
    if action is BatchAction.REMOVE_FROM_COLLECTION:
        return await collections.remove_from_locked(transaction, actor, collection, own), refused
    new, room = await collections.find_new(transaction, collection, own, most - tried)
    full = errors.CollectionFull(f"The collection has the maximum of {most} images.", limit=most)
    added = await collections.add_to_locked(transaction, actor, collection, new[:room], None, most)
    return added, refused | dict.fromkeys(new[room:], full)
