"""The rules of images that are there: reading, listing, changing, trash."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func

from image_api import audit
from image_api.actor import Actor, Scope
from image_api.entity_tags import check_if_match
from image_api.images import queries
from image_api.images.metadata_filters import MetadataFilter, condition
from image_api.images.metadata_terms import of_team
from image_api.images.result_filters import ResultCondition
from image_api.images.schemas import ImageFilters
from image_api.metadata_schemas import service as metadata_schemas
from image_api.metadata_schemas.rules import Declared, checked_patch
from image_api.metadata_schemas.values import MAX_METADATA_KEYS
from image_api.pagination import decode_cursor
from image_core import errors, events
from image_core.db import Record, Runner, Transaction, UniqueViolation, to_json
from image_core.events import EventType
from image_core.images import filenames
from image_core.states import HOLDS_BYTES, ImageStatus

_NOT_CONDITIONS = ("limit", "cursor", "include_total", "status", "tag", "q", "content_type")


def _conditions(actor: Actor, filters: ImageFilters) -> tuple[set[str], dict[str, Any]]:
    values: dict[str, Any] = {
        name: value for name, value in filters if value is not None and name not in _NOT_CONDITIONS
    }
    names = set(values)
    if not actor.is_admin:
        # A filter on another team finds nothing, as if that team were empty.
        if filters.team_id not in (None, actor.team_id):
            names.add("nothing")
        names.add("team_id")
        values["team_id"] = actor.team_id
    if filters.tag:
        values |= _tag_values(filters.tag)
        names |= {name for name in values if name.startswith("tag")}
    if filters.q:
        names.add("q")
        values["q"] = f"%{filters.q.translate({ord(c): chr(92) + c for c in chr(92) + '%_'})}%"
    if filters.content_type not in (None, "image/*"):
        names.add("content_type")
        values["content_type"] = filters.content_type
    for_status, statuses = _status_condition(set(filters.status))
    return names | for_status, values | statuses


def _status_condition(wanted: set[str]) -> tuple[set[str], dict[str, Any]]:
    if not wanted:
        return {"not_trashed", "not_expired"}, {}
    states = sorted(wanted - {"trashed"})
    if not states:
        return {"trashed"}, {}
    if "trashed" in wanted:
        return {"status_or_trashed"}, {"statuses": states}
    # One state has a statement of its own: an index gives its images in the order of the list.
    return (
        ({"not_trashed", "status"}, {"status": states[0]})
        if len(states) == 1
        else ({"not_trashed", "statuses"}, {"statuses": states})
    )


def _tag_values(tags: Sequence[str]) -> dict[str, list[str]]:
    forms = [filenames.forms(tag) for tag in tags]
    plain = [tag for (tag, *others) in forms if not others]
    several = {f"tag_{number}": each for number, each in enumerate(each for each in forms if len(each) > 1)}
    return ({"tag": plain} if plain else {}) | several


async def list_images(
    runner: Runner,
    actor: Actor,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
    base_url: str,
) -> tuple[list[Record], int | None]:
    """A page of images with one row too many, if there are more, and the number of all matches if asked for.

    Raises `errors.FilterUnknown`, `errors.FilterInvalid`.
    """
    names, values = await conditions(runner, actor, filters, on_metadata, on_results)
    total = await queries.count(runner, frozenset(names), values) if filters.include_total else None
    if filters.cursor is not None:
        cursor = decode_cursor(filters.cursor)
        names.add("cursor")
        values |= {"cursor_at": cursor.created_at, "cursor_id": cursor.row_id}
    values = {"limit": filters.limit + 1, "base_url": base_url, **values}
    if "terms" not in names:
        return await queries.page(runner, frozenset(names), values), total
    without_terms = frozenset(name for name in names if not name.startswith("terms"))
    rows = await queries.page_near(runner, without_terms, values)
    if len(rows) <= filters.limit:
        # There may be more among the older ones, which are found by terms however rare they are.
        rows = await queries.page_by_terms(runner, frozenset(names), values)
    return rows, total


async def conditions(
    runner: Runner,
    actor: Actor,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
) -> tuple[set[str], dict[str, Any]]:
    """The conditions that all filters make, by name, and their values.

    Raises `errors.FilterUnknown`, `errors.FilterInvalid`.
    """
    names, values = _conditions(actor, filters)
    for number, on_result in enumerate(on_results):
        names.add(f"result_{number}")
        values |= {f"analyzer_{number}": on_result.analyzer, f"result_path_{number}": on_result.path}
    if on_metadata:
        team_id = values.get("team_id")
        asked = condition(on_metadata, await declared_for(runner, team_id))
        names.add("metadata")
        values["metadata_path"] = asked.path
        if asked.terms or asked.groups:
            names |= {"terms", *(f"terms_{number}" for number in range(len(asked.groups)))}
            values |= {f"terms_{number}": group for number, group in enumerate(asked.groups)}
            values["terms"] = asked.terms if team_id is None else [of_team(team_id), *asked.terms]
    return names, values


async def declared_for(runner: Runner, team_id: UUID | None) -> list[Declared]:
    """The schemas under which filters are read: the team's, or without one those of all teams."""
    if team_id is None:
        return await metadata_schemas.fields_of_all_teams(runner)
    return [await metadata_schemas.declared_fields(runner, team_id)]


async def get_image(runner: Runner, actor: Actor, image_id: UUID, base_url: str) -> Record:
    """An image that the caller may see, in the trash or not. Raises `errors.ImageNotFound`."""
    return present(await queries.find(runner, actor.visible_team_id, image_id, base_url))


async def results_of(runner: Runner, row: Record) -> list[Record]:
    """The stored results of an image's bytes, newest first."""
    return [] if row["sha256"] is None else await queries.results(runner, row["team_id"], row["sha256"])


def present(found: Record | None) -> Record:
    """The row, or the one answer for what is absent and what is another team's."""
    if found is None:
        raise errors.ImageNotFound
    return found


async def find_original(runner: Runner, actor: Actor, image_id: UUID) -> Record:
    """Where the bytes of an image are. Raises `errors.ImageNotFound`, `errors.ImageNotStored`."""
    row = present(await queries.find_content(runner, actor.visible_team_id, image_id))
    if row["deleted_at"] is not None:
        raise errors.ImageNotFound("This image is in the trash; restore it first.")
    if row["status"] not in HOLDS_BYTES:
        raise errors.ImageNotStored(f"This image is {row['status']}.")
    return row


async def find_derivative(runner: Runner, actor: Actor, image_id: UUID, preset: str) -> Record:
    """Where a derivative is. Raises `errors.ImageNotFound`, `errors.DerivativeNotFound`."""
    row = present(await queries.find_derivative(runner, actor.visible_team_id, image_id, preset))
    if row["deleted_at"] is not None:
        raise errors.ImageNotFound("This image is in the trash; restore it first.")
    if row["object_name"] is None:
        raise errors.DerivativeNotFound(f"This image is {row['status']} and has no derivative {preset!r}.")
    return row


async def change_image(
    transaction: Transaction, actor: Actor, image_id: UUID, patch: dict[str, Any], if_match: str | None, base_url: str
) -> Record:
    """Changes filename, tags and metadata.

    Raises `errors.ImageNotFound`, `errors.ETagMismatch`, `errors.RequestInvalid`.
    """
    old = present(await queries.lock(transaction, actor.visible_team_id, image_id))
    check_if_match(if_match, old["revision"])
    values = dict(patch)
    if "tags" in values:
        values["tags"] = list(dict.fromkeys(values["tags"]))
    if "metadata" in values:
        declared = await metadata_schemas.declared_fields(transaction, old["team_id"])
        wanted = checked_patch(declared, values["metadata"])
        values["metadata"] = to_json(_merged(orjson.loads(old["metadata"]), wanted))
    changed = present(await queries.change(transaction, image_id, values, base_url))
    # Names only: a filename or a value may be personal, and this record is kept.
    names = {"fields": sorted(patch)} | ({"metadata_keys": sorted(patch["metadata"])} if patch.get("metadata") else {})
    await audit.record(transaction, actor, "image.changed", ("image", image_id), team_id=old["team_id"], after=names)
    return changed


def _merged(old: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = {name: value for name, value in (old | patch).items() if value is not None}
    if len(merged) > MAX_METADATA_KEYS:
        message = f"An image may have {MAX_METADATA_KEYS} metadata keys."
        raise errors.invalid_fields([{"field": "metadata", "code": "too_long", "message": message}])
    return merged


def _check_may_trash(actor: Actor, row: Record) -> None:
    """Raises `errors.ScopeMissing` unless the caller may trash and restore this image."""
    if Scope.IMAGES_DELETE not in actor.scopes and row["uploaded_by"] != actor.user_id:
        raise errors.ScopeMissing(
            "The caller lacks: images:delete. Without it only one's own uploads go to the trash and come back.",
            missing_scopes=[Scope.IMAGES_DELETE],
        )


async def trash_image(transaction: Transaction, actor: Actor, image_id: UUID, if_match: str | None) -> None:
    """Puts an image into the trash; once there, again is fine.

    Raises `errors.ImageNotFound`, `errors.ScopeMissing`, `errors.ETagMismatch`.
    """
    old = present(await queries.lock(transaction, actor.visible_team_id, image_id))
    _check_may_trash(actor, old)
    check_if_match(if_match, old["revision"])
    if old["deleted_at"] is not None:
        return
    await queries.change(transaction, image_id, {"deleted_at": func.now()}, "")
    await events.record(transaction, events.image_event(EventType.TRASHED, image_id, old["team_id"]))
    await audit.record(transaction, actor, "image.trashed", ("image", image_id), team_id=old["team_id"])


async def restore_image(transaction: Transaction, actor: Actor, image_id: UUID, bucket: str, base_url: str) -> Record:
    """Takes an image out of the trash, and asks for its processing where that is still to be done.

    Raises `errors.ImageNotFound`, `errors.ScopeMissing`, `errors.ImagePurged`, `errors.DuplicateExists`.
    """
    old = present(await queries.lock(transaction, actor.visible_team_id, image_id))
    _check_may_trash(actor, old)
    if old["deleted_at"] is None:
        return present(await queries.find(transaction, actor.visible_team_id, image_id, base_url))
    if old["purge_marked_at"] is not None:
        raise errors.ImagePurged
    return await restore(transaction, actor, old, bucket, base_url)


async def restore(transaction: Transaction, actor: Actor, old: Record, bucket: str, base_url: str) -> Record:
    """Clears the trash mark of a locked row. Raises `errors.DuplicateExists`."""
    image_id = old["id"]
    try:
        async with transaction.savepoint():
            restored = present(await queries.change(transaction, image_id, {"deleted_at": None}, base_url))
    except UniqueViolation as error:
        raise errors.DuplicateExists("The team has uploaded the same bytes again since.") from error
    await events.record(transaction, events.image_event(EventType.RESTORED, image_id, old["team_id"]))
    await audit.record(transaction, actor, "image.restored", ("image", image_id), team_id=old["team_id"])
    if old["status"] == ImageStatus.STORED:
        await events.record(transaction, _process_request(old, bucket))
    return restored


def _process_request(row: Record, bucket: str) -> events.OutboxEvent:
    return events.process_request(
        bucket, row["object_name"], row["generation"], row["id"], row["team_id"], row["trace_parent"]
    )


async def process_again(transaction: Transaction, old: Record, bucket: str, base_url: str) -> Record:
    """Sends a locked row that is final back to `stored` and asks for its processing."""
    values: dict[str, Any] = {
        "status": ImageStatus.STORED,
        "failure_code": None,
        "failure_message": None,
        "attempts": 0,
        "queued_at": func.now(),
    }
    changed = present(await queries.change(transaction, old["id"], values, base_url))
    await events.record(transaction, _process_request(old, bucket))
    return changed
