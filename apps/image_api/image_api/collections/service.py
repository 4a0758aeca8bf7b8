"""The rules of collections. Whoever changes one locks the images first, then the collection, and last its members."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor
from image_api.collections import queries
from image_api.collections.cursor import PlaceCursor
from image_api.collections.positions import between
from image_api.http.entity_tags import check_if_match
from image_api.http.pagination import Cursor
from image_api.images import service as images
from image_api.images.columns import INCLUDED_COLUMNS
from image_api.links import service as links
from image_api.teams import service as teams
from image_core import errors
from image_core.db import Record, Runner, Transaction
from image_core.ids import new_id

_BEFORE_ALL = -(2**63)


class Place(NamedTuple):
    """Where to put images: after an image of the collection; null means first."""

    after: UUID | None


async def list_collections(
    runner: Runner, actor: Actor, team_id: UUID | None, cursor: Cursor | None, limit: int, image_id: UUID | None = None
) -> list[Record]:
    """Return the collections of the caller's team, or of the team that an admin names; only those with `image_id`.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
    """
    return await queries.page(runner, await teams.owning_team(runner, actor, team_id), cursor, limit, image_id)


async def get_collection(runner: Runner, actor: Actor, collection_id: UUID) -> Record:
    """Return a collection that the caller may see, with its cover and the number of its images.

    Raises:
        errors.CollectionNotFound: There is none, or it is another team's.
    """
    return _require_found(await queries.find(runner, actor.visible_team_id, collection_id))


def _require_found(found: Record | None) -> Record:
    if found is None:
        raise errors.CollectionNotFound
    return found


async def create_collection(
    transaction: Transaction, actor: Actor, team_id: UUID | None, name: str, most: int | None
) -> Record:
    """Add a collection to a team that has fewer than `most`.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.TeamBeingRemoved.
        errors.TooManyCollections: The team already has the maximum.
    """
    owner_id = await teams.receiving_team(transaction, actor, team_id)
    # Collections of a team are counted and added one request at a time.
    await teams.lock(transaction, owner_id)
    if most is not None and await queries.count(transaction, owner_id) >= most:
        raise errors.TooManyCollections(f"Too many collections: the limit is {most}. Remove one first.", limit=most)
    collection_id = new_id()
    await queries.add(transaction, owner_id, collection_id, name)
    await _record(transaction, actor, "collection.created", collection_id, owner_id)
    return await get_collection(transaction, actor, collection_id)


async def change_collection(
    transaction: Transaction, actor: Actor, collection_id: UUID, patch: dict[str, Any], if_match: str | None
) -> Record:
    """Change the name or the cover.

    Raises:
        errors.CollectionNotFound, errors.ETagMismatch.
        errors.ImageNotFound: The cover is not in the collection.
    """
    cover_id = patch.get("cover_image_id")
    old = await _lock(transaction, actor, collection_id, if_match, [] if cover_id is None else [cover_id])
    if cover_id is not None:
        await _require_members(transaction, old, [cover_id])
    if patch:
        await queries.change(transaction, old["team_id"], collection_id, patch)
        # Names of fields only: the name of a collection may be personal, and audit events are retained.
        await _record(
            transaction, actor, "collection.changed", collection_id, old["team_id"], {"fields": sorted(patch)}
        )
    return await get_collection(transaction, actor, collection_id)


async def remove_collection(transaction: Transaction, actor: Actor, collection_id: UUID, if_match: str | None) -> None:
    """Remove a collection, but not its images, and end the share links that show it.

    Raises:
        errors.CollectionNotFound, errors.ETagMismatch.
    """
    old = await _lock(transaction, actor, collection_id, if_match)
    await links.end_links_of_collection(transaction, actor, old["team_id"], collection_id)
    await queries.remove(transaction, old["team_id"], collection_id)
    await _record(transaction, actor, "collection.removed", collection_id, old["team_id"])


async def page_images(
    runner: Runner, actor: Actor, collection_id: UUID, cursor: PlaceCursor, limit: int, included: Collection[str]
) -> list[Record]:
    """Return images of a collection after a cursor, with the columns of what is included.

    Raises:
        errors.CollectionNotFound.
    """
    team_id = await team_of(runner, actor, collection_id)
    columns = frozenset(INCLUDED_COLUMNS.keys() & set(included))
    return await queries.page_images(runner, team_id, collection_id, cursor, limit, columns)


async def team_of(runner: Runner, actor: Actor, collection_id: UUID) -> UUID:
    """Return the team of a collection that the caller may see.

    Raises:
        errors.CollectionNotFound.
    """
    found: UUID | None = await queries.find_team(runner, actor.visible_team_id, collection_id)
    if found is None:
        raise errors.CollectionNotFound
    return found


async def add_images(
    transaction: Transaction,
    actor: Actor,
    collection_id: UUID,
    image_ids: Sequence[UUID],
    place: Place | None,
    most: int,
    if_match: str | None,
) -> int:
    """Add images in this order, and return how many were not in the collection before.

    With a place, images that are in the collection already are moved there; without one, new images are put last.

    Raises:
        errors.CollectionNotFound, errors.ETagMismatch.
        errors.ImageNotFound: The team does not have one of the images, or `place` is not in the collection.
        errors.CollectionFull: The collection would have more than `most` images.
        errors.RequestInvalid: An image would be put after itself.
    """
    if place is not None and place.after in image_ids:
        message = "An image cannot be put after itself."
        raise errors.invalid_fields([{"field": "after", "code": "after-itself", "message": message}])
    old = await _lock(transaction, actor, collection_id, if_match, image_ids)
    return len(await add_to_locked(transaction, actor, old, list(dict.fromkeys(image_ids)), place, most))


async def add_to_locked(
    transaction: Transaction,
    actor: Actor,
    old: Record,
    image_ids: Sequence[UUID],
    place: Place | None,
    most: int,
) -> set[UUID]:
    """Add locked images of the team to a locked collection; return those that were not in it before.

    Raises:
        errors.ImageNotFound: `place` is not in the collection.
        errors.CollectionFull: The collection would have more than `most` images.
    """
    team_id, collection_id = old["team_id"], old["id"]
    present = await queries.positions(transaction, team_id, collection_id, image_ids)
    new = [image_id for image_id in image_ids if image_id not in present]
    if new:
        count = await queries.count_members(transaction, team_id, collection_id)
        if count + len(new) > most:
            raise errors.CollectionFull(f"Too many images: the limit is {most}, and there are {count}.", limit=most)
    placed = new if place is None else image_ids
    if placed:
        while (places := between(*await _neighbours(transaction, old, placed, place), len(placed))) is None:
            await queries.renumber(transaction, team_id, collection_id)
        await queries.place(transaction, team_id, collection_id, placed, places)
        await _record_images(transaction, actor, "collection.images_added", old, placed)
    return set(new)


async def find_new(
    transaction: Transaction, old: Record, image_ids: Sequence[UUID], most: int
) -> tuple[list[UUID], int]:
    """Return which images are not in a locked collection yet, and for how many more it has room."""
    present = await queries.positions(transaction, old["team_id"], old["id"], image_ids)
    count = await queries.count_members(transaction, old["team_id"], old["id"])
    return [image_id for image_id in image_ids if image_id not in present], max(0, most - count)


async def _neighbours(
    transaction: Transaction, old: Record, placed: Collection[UUID], place: Place | None
) -> tuple[int | None, int | None]:
    """Return the positions between which images are to be put, None at an end."""
    team_id, collection_id = old["team_id"], old["id"]
    if place is None:
        return await queries.last_position(transaction, team_id, collection_id), None
    low = None
    if place.after is not None:
        low = (await _require_members(transaction, old, [place.after]))[place.after]
    begin = _BEFORE_ALL if low is None else low
    return low, await queries.next_position(transaction, team_id, collection_id, begin, placed)


async def find_last(
    transaction: Transaction, actor: Actor, collection_id: UUID, others: Collection[UUID]
) -> UUID | None:
    """Return the last image of a collection that is none of the others; None if there is none.

    Raises:
        errors.CollectionNotFound.
    """
    team_id = await team_of(transaction, actor, collection_id)
    return await queries.last_image(transaction, team_id, collection_id, others)


async def order_images(
    transaction: Transaction, actor: Actor, collection_id: UUID, image_ids: Sequence[UUID], if_match: str | None
) -> None:
    """Share out the places that these images have among them, in this order.

    Raises:
        errors.CollectionNotFound, errors.ETagMismatch.
        errors.ImageNotFound: One of the images is not in the collection.
    """
    old, named = await _lock(transaction, actor, collection_id, if_match), list(dict.fromkeys(image_ids))
    present = await _require_members(transaction, old, named)
    places = sorted(present.values())
    if places != [present[image_id] for image_id in named]:
        await queries.arrange(transaction, old["team_id"], collection_id, named, places)
        await _record_images(transaction, actor, "collection.images_ordered", old, named)


async def remove_images(
    transaction: Transaction, actor: Actor, collection_id: UUID, image_ids: Collection[UUID], if_match: str | None
) -> int:
    """Remove images from a collection, and return how many were in it.

    Raises:
        errors.CollectionNotFound, errors.ETagMismatch.
    """
    old = await _lock(transaction, actor, collection_id, if_match)
    return len(await remove_from_locked(transaction, actor, old, image_ids))


async def remove_from_locked(
    transaction: Transaction, actor: Actor, old: Record, image_ids: Collection[UUID]
) -> set[UUID]:
    """Remove images from a locked collection; return those that were in it."""
    removed = await queries.remove_members(transaction, old["team_id"], old["id"], image_ids)
    if removed:
        values = {"cover_image_id": None} if old["cover_image_id"] in removed else {}
        await _record_images(transaction, actor, "collection.images_removed", old, removed, values)
    return removed


async def lock(transaction: Transaction, actor: Actor, collection_id: UUID) -> Record:
    """Lock a collection for the rest of the transaction. Images that are to be added must be locked before.

    Raises:
        errors.CollectionNotFound.
    """
    return _require_found(await queries.lock(transaction, actor.visible_team_id, collection_id))


async def _lock(
    transaction: Transaction,
    actor: Actor,
    collection_id: UUID,
    if_match: str | None,
    image_ids: Sequence[UUID] = (),
) -> Record:
    """Lock images of the collection's team, and then the collection.

    Raises:
        errors.CollectionNotFound, errors.ETagMismatch.
        errors.ImageNotFound: The team does not have one of the images.
    """
    if image_ids:
        team_id = await team_of(transaction, actor, collection_id)
        await images.keep_images(transaction, team_id, image_ids)
    old = await lock(transaction, actor, collection_id)
    check_if_match(if_match, old["revision"])
    return old


async def _require_members(transaction: Transaction, old: Record, image_ids: Sequence[UUID]) -> dict[UUID, int]:
    found = await queries.positions(transaction, old["team_id"], old["id"], image_ids)
    images.require_all(image_ids, found, "Not all of these images are in the collection.")
    return found


async def _record_images(
    transaction: Transaction,
    actor: Actor,
    action: str,
    old: Record,
    image_ids: Collection[UUID],
    values: dict[str, Any] | None = None,
) -> None:
    await queries.change(transaction, old["team_id"], old["id"], values or {})
    changed = {"image_ids": [str(image_id) for image_id in image_ids]}
    await _record(transaction, actor, action, old["id"], old["team_id"], changed)


async def _record(
    transaction: Transaction,
    actor: Actor,
    action: str,
    collection_id: UUID,
    team_id: UUID,
    after: dict[str, Any] | None = None,
) -> None:
    await audit.record(transaction, actor, action, ("collection", collection_id), team_id=team_id, after=after)
