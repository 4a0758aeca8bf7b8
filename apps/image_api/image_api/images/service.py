"""The rules of existing images: reading, changing, trash."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import orjson

from image_api import audit
from image_api.actor import Actor, Scope
from image_api.http.entity_tags import check_if_match
from image_api.images import queries
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import Declared, validate_patch
from image_api.metadata_schemas.values import MAX_METADATA_KEYS
from image_core import errors, events
from image_core.db import Record, Runner, Transaction, UniqueViolation, to_json
from image_core.delivery.rendition_requests import PROCESSED_FORMAT, rendition_request
from image_core.delivery.spec import FOCAL_GRAVITY, THOUSANDTHS
from image_core.events import EventType
from image_core.images import transitions
from image_core.images.presets import presets_of_team
from image_core.images.removal import lost_originals
from image_core.states import HOLDS_BYTES, ImageStatus

_PARTS = {
    "alt_text": {"text": "alt_text", "language": "alt_text_language"},
    "focal_point": {"x": "focal_x", "y": "focal_y"},
}
"""The columns of the members of what a merge patch changes in parts."""


async def get_image(runner: Runner, actor: Actor, image_id: UUID) -> Record:
    """Return an image that the caller may see, in the trash or not.

    Raises:
        errors.ImageNotFound: The image does not exist.
    """
    return require_found(await queries.find(runner, actor.visible_team_id, image_id))


async def find_results(runner: Runner, row: Record) -> list[Record]:
    """Return the stored results of an image's bytes, newest first."""
    return [] if row["sha256"] is None else await queries.results(runner, row["team_id"], row["sha256"])


def require_found(found: Record | None) -> Record:
    """Return the row, or raise the same error for an absent image and for another team's.

    Raises:
        errors.ImageNotFound: The image does not exist.
    """
    if found is None:
        raise errors.ImageNotFound
    return found


async def keep_images(transaction: Transaction, team_id: UUID, image_ids: Collection[UUID]) -> None:
    """Keep images of a team, in the trash or not, from being purged until the transaction ends.

    Raises:
        errors.ImageNotFound: The team does not have one of them.
    """
    kept = await queries.keep_images(transaction, team_id, image_ids)
    require_all(image_ids, kept, "The team does not have all of these images.")


def require_all(image_ids: Collection[UUID], found: Collection[UUID], detail: str) -> None:
    """Check that all of these images were found.

    Raises:
        errors.ImageNotFound: One was not.
    """
    if missing := [str(image_id) for image_id in image_ids if image_id not in found]:
        raise errors.ImageNotFound(detail, image_ids=missing)


async def find_original(runner: Runner, actor: Actor, image_id: UUID) -> Record:
    """Return the location of an image's bytes.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.ImageNotStored: The bytes of this image have not arrived.
    """
    row = require_found(await queries.find_content(runner, actor.visible_team_id, image_id))
    if row["deleted_at"] is not None:
        raise errors.ImageNotFound("The image is in the trash. Restore it first.")
    if row["status"] not in HOLDS_BYTES:
        raise errors.ImageNotStored(f"The image file has not been received: its status is {row['status']}.")
    return row


async def find_derivative(runner: Runner, actor: Actor, image_id: UUID, preset: str) -> Record:
    """Return the location of a derivative.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.DerivativeNotFound: The derivative does not exist.
    """
    row = require_found(await queries.find_derivative(runner, actor.visible_team_id, image_id, preset))
    if row["deleted_at"] is not None:
        raise errors.ImageNotFound("The image is in the trash. Restore it first.")
    if row["object_name"] is None:
        raise errors.DerivativeNotFound(f"The image has no derivative {preset!r}: its status is {row['status']}.")
    return row


async def change_image(
    transaction: Transaction, actor: Actor, image_id: UUID, patch: dict[str, Any], if_match: str | None
) -> Record:
    """Change what a merge patch names.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.ETagMismatch: The resource has changed since it was read.
        errors.ScopeMissing: The key lacks the scope for the visibility.
        errors.RequestInvalid: The metadata do not fit the team's schema, or a part of the image would be incomplete.
    """
    if "visibility" in patch and Scope.DELIVERY_MANAGE not in actor.scopes:
        raise errors.ScopeMissing(
            "The caller lacks this scope: delivery:manage. Without it you cannot change the visibility.",
            missing_scopes=[Scope.DELIVERY_MANAGE],
        )
    old = require_found(await queries.lock(transaction, actor.visible_team_id, image_id))
    check_if_match(if_match, old["revision"])
    declared = await metadata_schemas.declared_fields(transaction, old["team_id"]) if "metadata" in patch else {}
    return await change(transaction, actor, old, patch, declared)


async def change(
    transaction: Transaction, actor: Actor, old: Record, patch: dict[str, Any], declared: Declared
) -> Record:
    """Change a locked image as a merge patch says; `declared` are its team's metadata fields.

    Raises:
        errors.RequestInvalid: The metadata do not fit the team's schema, or a part of the image would be incomplete.
    """
    if not patch:
        return await get_image(transaction, actor, old["id"])
    values = dict(patch)
    for name in _PARTS.keys() & patch.keys():
        values |= _merge_part(old, name, values.pop(name))
    if "tags" in values:
        values["tags"] = list(dict.fromkeys(values["tags"]))
    if "metadata" in values:
        values["metadata"] = to_json(merge_metadata(old, values["metadata"], declared))
    changed = require_found(await queries.change(transaction, transitions.edit(old["id"], values)))
    await _record_change(transaction, changed, *patch)
    await _remake_focused(transaction, old, values)
    # Names only: a filename or a value may be personal, and audit events are retained.
    names: dict[str, Any] = {"fields": sorted(patch)}
    names |= {"metadata_keys": sorted(patch["metadata"])} if patch.get("metadata") else {}
    before = {"visibility": old["visibility"]} if "visibility" in patch else None
    names |= {"visibility": patch["visibility"]} if "visibility" in patch else {}
    await audit.record(
        transaction, actor, "image.changed", ("image", old["id"]), team_id=old["team_id"], before=before, after=names
    )
    return changed


async def revoke_addresses(transaction: Transaction, actor: Actor, image_id: UUID) -> Record:
    """Make every delivery address of an image that was issued before invalid, and return the image.

    Raises:
        errors.ImageNotFound.
    """
    old = require_found(await queries.lock(transaction, actor.visible_team_id, image_id))
    changed = require_found(await queries.change(transaction, transitions.revoke_addresses(image_id)))
    await _record_change(transaction, changed, "delivery_addresses")
    await audit.record(transaction, actor, "image.addresses_revoked", ("image", image_id), team_id=old["team_id"])
    return changed


async def _remake_focused(transaction: Transaction, old: Record, values: dict[str, Any]) -> None:
    """Request the pictures that presets made of an image early, where its focal point was moved.

    One that is not ready yet has them made with its other pictures.
    """
    moved = any(name in values and values[name] != old[name] for name in _PARTS["focal_point"].values())
    if not moved or old["ready_at"] is None or old["deleted_at"] is not None:
        return
    presets = await presets_of_team(transaction, old["team_id"])
    for preset in presets.values():
        if preset.is_eager and preset.recipe.gravity == FOCAL_GRAVITY and preset.recipe.fit == "cover":
            formats = dict.fromkeys((PROCESSED_FORMAT, *preset.formats))
            of_image = old["id"], old["team_id"], old["generation"], preset.name
            await events.record(transaction, *(rendition_request(*of_image, each) for each in formats))


def _merge_part(old: Record, name: str, patch: dict[str, Any] | None) -> dict[str, Any]:
    """Return the columns of the alternative text or the focal point after a merge patch; null removes it.

    Raises:
        errors.RequestInvalid: A member is missing.
    """
    columns = _PARTS[name]
    if patch is None:
        return dict.fromkeys(columns.values())
    given = {member: round(value * THOUSANDTHS) for member, value in patch.items() if isinstance(value, float)}
    merged = {member: old[column] for member, column in columns.items()} | patch | given
    if missing := [member for member, value in merged.items() if value is None]:
        message = "This field is required."
        raise errors.invalid_fields(
            [{"field": f"{name}.{member}", "code": "missing", "message": message} for member in missing]
        )
    return {columns[member]: value for member, value in merged.items()}


def merge_metadata(old: Record, patch: dict[str, Any], declared: Declared) -> dict[str, Any]:
    """Return the metadata of an image after a merge patch.

    Raises:
        errors.RequestInvalid: The metadata do not fit the team's schema, or have too many keys.
    """
    changed = orjson.loads(old["metadata"]) | validate_patch(declared, patch)
    merged = {name: value for name, value in changed.items() if value is not None}
    if len(merged) > MAX_METADATA_KEYS:
        message = f"Too many metadata keys: the limit is {MAX_METADATA_KEYS}."
        raise errors.invalid_fields([{"field": "metadata", "code": "too_long", "message": message}])
    return merged


def _check_may_trash(actor: Actor, row: Record) -> None:
    """Check that the caller may trash and restore this image.

    Raises:
        errors.ScopeMissing: The key lacks a scope.
    """
    if Scope.IMAGES_DELETE not in actor.scopes and row["uploaded_by"] != actor.user_id:
        raise errors.ScopeMissing(
            "The caller lacks this scope: images:delete. Without it, you can trash and restore only your own uploads.",
            missing_scopes=[Scope.IMAGES_DELETE],
        )


async def trash_image(transaction: Transaction, actor: Actor, image_id: UUID, if_match: str | None) -> None:
    """Move an image to the trash; repeating it changes nothing.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.ScopeMissing: The key lacks a scope.
        errors.ETagMismatch: The resource has changed since it was read.
    """
    old = require_found(await queries.lock(transaction, actor.visible_team_id, image_id))
    check_if_match(if_match, old["revision"])
    await trash(transaction, actor, old)


async def trash(transaction: Transaction, actor: Actor, old: Record) -> bool:
    """Move a locked image to the trash; return False if it is there already.

    Raises:
        errors.ScopeMissing: The key lacks a scope.
    """
    _check_may_trash(actor, old)
    if old["deleted_at"] is not None:
        return False
    image_id, team_id = old["id"], old["team_id"]
    trashed = require_found(await queries.change(transaction, transitions.trash(image_id)))
    await _record(transaction, EventType.TRASHED, trashed)
    await audit.record(transaction, actor, "image.trashed", ("image", image_id), team_id=team_id)
    return True


async def restore_image(transaction: Transaction, actor: Actor, image_id: UUID, bucket: str) -> Record:
    """Restore an image from the trash, and request its processing if that is still pending.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.ScopeMissing: The key lacks a scope.
        errors.ImagePurged: The image is being purged and cannot be restored.
        errors.DuplicateExists: The team already has an image with these bytes.
    """
    old = require_found(await queries.lock(transaction, actor.visible_team_id, image_id))
    restored = await restore_trashed(transaction, actor, old, bucket)
    return restored or require_found(await queries.find(transaction, actor.visible_team_id, image_id))


async def restore_trashed(transaction: Transaction, actor: Actor, old: Record, bucket: str) -> Record | None:
    """Restore a locked image as the caller asked; return None if it is not in the trash.

    Raises:
        errors.ScopeMissing: The key lacks a scope.
        errors.ImagePurged: The image is being purged and cannot be restored.
        errors.DuplicateExists: The team already has an image with these bytes.
    """
    _check_may_trash(actor, old)
    if old["deleted_at"] is None:
        return None
    if old["purge_marked_at"] is not None:
        raise errors.ImagePurged("The image is being purged and cannot be restored. Upload it again.")
    return await restore(transaction, actor, old, bucket)


async def restore(transaction: Transaction, actor: Actor, old: Record, bucket: str) -> Record:
    """Restore a locked row.

    Raises:
        errors.DuplicateExists: The team already has an image with these bytes.
    """
    image_id = old["id"]
    try:
        async with transaction.savepoint():
            restored = require_found(await queries.change(transaction, transitions.restore(image_id)))
    except UniqueViolation as error:
        raise errors.DuplicateExists(
            "The team has uploaded the same file again since this image was trashed. Use the new image."
        ) from error
    await _record(transaction, EventType.RESTORED, restored, status=restored["status"])
    await audit.record(transaction, actor, "image.restored", ("image", image_id), team_id=old["team_id"])
    if old["status"] == ImageStatus.STORED:
        await events.record(transaction, events.process_request(old, bucket))
    return restored


async def _record(transaction: Transaction, kind: EventType, row: Record, **payload: Any) -> None:
    """Record an event about a changed row."""
    event = events.image_event(kind, row["id"], row["team_id"], row["revision"], payload)
    await events.record(transaction, event)


async def _record_change(transaction: Transaction, row: Record, *fields: str) -> None:
    """Record which fields of an image changed, unless its upload has not ended: `image.created` is its first event."""
    if row["status"] not in (ImageStatus.PENDING, ImageStatus.EXPIRED):
        await _record(transaction, EventType.IMAGE_CHANGED, row, changed=sorted(fields), status=row["status"])


async def retry_processing(transaction: Transaction, old: Record, bucket: str) -> None:
    """Move a locked row that has failed back to `stored` and request its processing."""
    queued = require_found(await queries.change(transaction, transitions.process_again(old["id"])))
    await _record_change(transaction, queued, "status")
    await events.record(transaction, events.process_request(old, bucket))


async def reprocess_image(transaction: Transaction, actor: Actor, image_id: UUID, bucket: str) -> Record:
    """Process an image that is ready or has failed again; its derivatives stay until they are replaced.

    Raises:
        errors.ImageNotFound: The image does not exist.
        errors.ImageNotReprocessable: It is in the trash, is not processed yet, or has lost its original.
    """
    old = require_found(await queries.lock(transaction, actor.visible_team_id, image_id))
    if (reason := why_not_reprocessable(old)) is not None:
        raise errors.ImageNotReprocessable(reason)
    changed = require_found(await queries.change(transaction, transitions.process_again(image_id)))
    await _record_change(transaction, changed, "status")
    await events.record(transaction, events.process_request(old, bucket))
    await audit.record(transaction, actor, "image.reprocessed", ("image", image_id), team_id=old["team_id"])
    return changed


def why_not_reprocessable(row: Record) -> str | None:
    """Return why an image cannot be processed again; None if it can."""
    if row["deleted_at"] is not None:
        return "The image is in the trash. Restore it first."
    if row["status"] not in (ImageStatus.READY, ImageStatus.FAILED):
        return f"Only images that are ready or have failed can be processed again: the status is {row['status']}."
    if row["failure_code"] in lost_originals.CODES:
        return "The original is lost or changed. Upload the file again."
    return None
