"""What a batch does with one locked image."""

from typing import Any

import orjson

from image_api.actor import Actor
from image_api.batches.schemas import BatchAction, NewBatch
from image_api.images import service as images
from image_api.images.schemas import MAX_TAGS
from image_api.metadata_schemas.rules import Declared
from image_core import errors
from image_core.db import Record, Transaction


async def apply(
    transaction: Transaction, actor: Actor, old: Record, batch: NewBatch, declared: Declared, bucket: str
) -> bool:
    """Do what the batch says; return False if there is nothing to do. `declared` are the team's metadata fields.

    Raises:
        errors.ScopeMissing: It is another user's upload, and the caller lacks the scope for those.
        errors.ImagePurged: The image is being purged and cannot be restored.
        errors.DuplicateExists: The team has uploaded the same file again.
        errors.RequestInvalid: The image would have too many tags, or metadata that do not fit the team's schema.
    """
    if batch.action is BatchAction.TRASH:
        return await images.trash(transaction, actor, old)
    if batch.action is BatchAction.RESTORE:
        return await images.restore_trashed(transaction, actor, old, bucket) is not None
    patch = _patch(old, batch, declared)
    if patch:
        await images.change(transaction, actor, old, patch, declared)
    return bool(patch)


def _patch(old: Record, batch: NewBatch, declared: Declared) -> dict[str, Any]:
    """Return what changes of an image; nothing if it is as it should be."""
    match batch.action:
        case BatchAction.TAG:
            tags = list(dict.fromkeys((*old["tags"], *batch.tags)))
            if len(tags) > MAX_TAGS:
                message = f"Too many tags: the limit is {MAX_TAGS}."
                raise errors.invalid_fields([{"field": "tags", "code": "too_long", "message": message}])
            return {} if tags == old["tags"] else {"tags": tags}
        case BatchAction.UNTAG:
            tags = [tag for tag in old["tags"] if tag not in batch.tags]
            return {} if tags == old["tags"] else {"tags": tags}
        case BatchAction.SET_METADATA:
            merged = images.merge_metadata(old, batch.metadata, declared)
            return {} if _same(merged, orjson.loads(old["metadata"])) else {"metadata": batch.metadata}
        case _:
            return {} if old["visibility"] == batch.visibility else {"visibility": batch.visibility}


def _same(metadata: dict[str, Any], others: dict[str, Any]) -> bool:
    """Compare as JSON, where 1, 1.0 and true are three values."""
    option = orjson.OPT_SORT_KEYS
    return orjson.dumps(metadata, option=option) == orjson.dumps(others, option=option)
