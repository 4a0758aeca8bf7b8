"""The SQL of collections. Everything is limited to a team."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Uuid,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from image_api.collections.cursor import PlaceCursor
from image_api.collections.positions import GAP
from image_api.http.pagination import Cursor, newest_first
from image_api.images.columns import HAS_THUMBNAIL, PLACEHOLDER, listed_columns
from image_core.db import Query, Record, Runner, Transaction
from image_core.models import collection, collection_member, image
from image_core.states import ImageStatus

_NEAR_IMAGES = 100
"""Number of first images among which a cover is looked for."""
_member = collection_member.c
_visible_team = bindparam("visible_team_id", type_=Uuid)
_visible = or_(_visible_team.is_(None), collection.c.team_id == _visible_team)
_of_collection = and_(_member.collection_id == bindparam("collection_id"), _member.team_id == bindparam("team_id"))
_named = _member.image_id == func.any(bindparam("image_ids", type_=ARRAY(Uuid)))
_is_shown = and_(image.c.deleted_at.is_(None), image.c.status != literal_column(f"'{ImageStatus.EXPIRED}'"))
_is_member = and_(image.c.id == _member.image_id, image.c.team_id == _member.team_id)


_near = collection_member.alias("near")
_far_position = (
    select(_near.c.position)
    .where(_near.c.collection_id == collection.c.id, _near.c.team_id == collection.c.team_id)
    .order_by(_near.c.position)
    .offset(literal_column(str(_NEAR_IMAGES)))
    .limit(literal_column("1"))
    .correlate(collection)
    .scalar_subquery()
)
_chosen_cover = (
    select(image.c.id)
    .where(image.c.id == collection.c.cover_image_id, image.c.team_id == collection.c.team_id, _is_shown)
    .correlate(collection)
    .scalar_subquery()
)
_first_image = (
    select(image.c.id)
    .select_from(collection_member.join(image, _is_member))
    .where(
        _member.collection_id == collection.c.id, _member.team_id == collection.c.team_id, _is_shown,
        or_(_far_position.is_(None), _member.position < _far_position),
    )
    .order_by(_member.position)
    .limit(literal_column("1"))
    .correlate(collection)
    .scalar_subquery()
)  # fmt: skip
_cover_id = func.coalesce(_chosen_cover, _first_image).label("shown_image_id")
_image_count = (
    select(func.count())
    .select_from(collection_member.join(image, _is_member))
    .where(_member.collection_id == collection.c.id, _member.team_id == collection.c.team_id, _is_shown)
    .correlate(collection)
    .scalar_subquery()
    .label("image_count")
)


def _with_covers(found: Any) -> Any:
    """Return the statement for these collections with what is shown of their covers."""
    rows = found.subquery()
    return (
        select(rows, PLACEHOLDER.label("placeholder"), HAS_THUMBNAIL.label("has_thumbnail"))
        .select_from(
            rows.outerjoin(image, and_(image.c.id == rows.c.shown_image_id, image.c.team_id == rows.c.team_id))
        )
        .order_by(rows.c.created_at.desc(), rows.c.id.desc())
    )


_find = Query(
    _with_covers(
        select(collection, _cover_id, _image_count).where(collection.c.id == bindparam("collection_id"), _visible)
    )
)
_team = Query(select(collection.c.team_id).where(collection.c.id == bindparam("collection_id"), _visible))
_lock = Query(
    select(collection).where(collection.c.id == bindparam("collection_id"), _visible).with_for_update(of=collection)
)
_positions = Query(select(_member.image_id, _member.position).where(_of_collection, _named))
_placed = (
    func.unnest(bindparam("image_ids", type_=ARRAY(Uuid)), bindparam("positions", type_=ARRAY(BigInteger)))
    .table_valued("image_id", "position", name="placed")
    .render_derived()
)
_new_members = upsert(collection_member).from_select(
    ["collection_id", "image_id", "team_id", "position"],
    select(
        bindparam("collection_id", type_=Uuid), _placed.c.image_id, bindparam("team_id", type_=Uuid), _placed.c.position
    ),
)
_place = Query(
    _new_members.on_conflict_do_update(
        index_elements=[_member.collection_id, _member.image_id], set_={"position": _new_members.excluded.position}
    )
)
_arrange = Query(
    update(collection_member)
    .where(_of_collection, _member.image_id == _placed.c.image_id)
    .values(position=_placed.c.position)
)
_remove = Query(delete(collection_member).where(_of_collection, _named).returning(_member.image_id))
_numbered = (
    select(_member.image_id, (func.row_number().over(order_by=_member.position) * GAP).label("position"))
    .where(_of_collection)
    .subquery("numbered")
)
_renumber = Query(
    update(collection_member)
    .where(_of_collection, _member.image_id == _numbered.c.image_id)
    .values(position=_numbered.c.position)
)
_last_position = Query(select(func.max(_member.position)).where(_of_collection))
_last = Query(
    select(_member.image_id).where(_of_collection, ~_named).order_by(_member.position.desc(), _member.image_id.desc())
)
_next_position = Query(
    select(func.min(_member.position)).where(
        _of_collection, _member.position > bindparam("position", type_=BigInteger), ~_named
    )
)
_count_members = Query(select(func.count()).select_from(collection_member).where(_of_collection))


async def page(
    runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int, image_id: UUID | None = None
) -> list[Record]:
    """Return a team's collections with their covers, newest first; only those with an image, if one is named."""
    statement = select(collection, _cover_id).where(collection.c.team_id == team_id)
    if image_id is not None:
        has_it = exists().where(
            _member.collection_id == collection.c.id, _member.team_id == collection.c.team_id,
            _member.image_id == image_id,
        )  # fmt: skip
        statement = statement.where(has_it)
    page = newest_first(statement, collection.c.created_at, collection.c.id, cursor, limit)
    return await runner.fetch(_with_covers(page))


async def find(runner: Runner, visible_team_id: UUID | None, collection_id: UUID) -> Record | None:
    """Return one collection with its cover and the number of its images."""
    return await runner.fetch_one(_find, collection_id=collection_id, visible_team_id=visible_team_id)


async def find_team(runner: Runner, visible_team_id: UUID | None, collection_id: UUID) -> UUID | None:
    """Return the team of a collection."""
    team_id: UUID | None = await runner.fetch_value(_team, collection_id=collection_id, visible_team_id=visible_team_id)
    return team_id


async def lock(transaction: Transaction, visible_team_id: UUID | None, collection_id: UUID) -> Record | None:
    """Return one collection, locked for the rest of the transaction."""
    return await transaction.fetch_one(_lock, collection_id=collection_id, visible_team_id=visible_team_id)


async def count(transaction: Transaction, team_id: UUID) -> int:
    """Return the number of a team's collections."""
    statement = select(func.count()).select_from(collection).where(collection.c.team_id == team_id)
    return int(await transaction.fetch_value(statement))


async def add(transaction: Transaction, team_id: UUID, collection_id: UUID, name: str) -> None:
    """Insert a collection."""
    await transaction.execute(insert(collection).values(id=collection_id, team_id=team_id, name=name))


async def change(transaction: Transaction, team_id: UUID, collection_id: UUID, values: dict[str, Any]) -> None:
    """Update a collection, and count the change; without values, one of its images."""
    await transaction.execute(
        update(collection)
        .where(collection.c.id == collection_id, collection.c.team_id == team_id)
        .values(revision=collection.c.revision + 1, updated_at=func.now(), **values)
    )


async def remove(transaction: Transaction, team_id: UUID, collection_id: UUID) -> None:
    """Delete a collection, but not its images."""
    await transaction.execute(
        delete(collection).where(collection.c.id == collection_id, collection.c.team_id == team_id)
    )


async def positions(
    transaction: Transaction, team_id: UUID, collection_id: UUID, image_ids: Collection[UUID]
) -> dict[UUID, int]:
    """Return the positions of those of these images that are in the collection."""
    rows = await transaction.fetch(_positions, team_id=team_id, collection_id=collection_id, image_ids=list(image_ids))
    return {row["image_id"]: row["position"] for row in rows}


async def last_position(transaction: Transaction, team_id: UUID, collection_id: UUID) -> int | None:
    """Return the greatest position; None if the collection is empty."""
    found: int | None = await transaction.fetch_value(_last_position, team_id=team_id, collection_id=collection_id)
    return found


async def last_image(
    transaction: Transaction, team_id: UUID, collection_id: UUID, others: Collection[UUID]
) -> UUID | None:
    """Return the image with the greatest position, but for the others; None if there is none."""
    values = {"collection_id": collection_id, "image_ids": list(others)}
    found: UUID | None = await transaction.fetch_value(_last, team_id=team_id, **values)
    return found


async def next_position(
    transaction: Transaction, team_id: UUID, collection_id: UUID, position: int, others: Collection[UUID]
) -> int | None:
    """Return the smallest position greater than this one, without those of the others; None if there is none."""
    values = {"collection_id": collection_id, "position": position, "image_ids": list(others)}
    found: int | None = await transaction.fetch_value(_next_position, team_id=team_id, **values)
    return found


async def count_members(transaction: Transaction, team_id: UUID, collection_id: UUID) -> int:
    """Return the number of images in a collection, in the trash or not."""
    return int(await transaction.fetch_value(_count_members, team_id=team_id, collection_id=collection_id))


async def place(
    transaction: Transaction, team_id: UUID, collection_id: UUID, image_ids: Sequence[UUID], places: Sequence[int]
) -> None:
    """Add images at these positions, or move them there."""
    values = {"collection_id": collection_id, "image_ids": list(image_ids), "positions": list(places)}
    await transaction.execute(_place, team_id=team_id, **values)


async def arrange(
    transaction: Transaction, team_id: UUID, collection_id: UUID, image_ids: Sequence[UUID], places: Sequence[int]
) -> None:
    """Move images of the collection to these positions."""
    values = {"collection_id": collection_id, "image_ids": list(image_ids), "positions": list(places)}
    await transaction.execute(_arrange, team_id=team_id, **values)


async def renumber(transaction: Transaction, team_id: UUID, collection_id: UUID) -> None:
    """Give all images of a collection new positions, in the same order, with whole gaps between them."""
    await transaction.execute(_renumber, team_id=team_id, collection_id=collection_id)


async def remove_members(
    transaction: Transaction, team_id: UUID, collection_id: UUID, image_ids: Collection[UUID]
) -> set[UUID]:
    """Remove images from a collection; return which of them were in it."""
    rows = await transaction.fetch(_remove, team_id=team_id, collection_id=collection_id, image_ids=list(image_ids))
    return {row["image_id"] for row in rows}


@lru_cache
def _images(included: frozenset[str]) -> Query:
    last = select(_member.position).where(_of_collection, _member.image_id == bindparam("cursor_id"))
    begins_after = func.coalesce(last.correlate(None).scalar_subquery(), bindparam("cursor_position", type_=BigInteger))
    return Query(
        select(*listed_columns(included), _member.position)
        .select_from(collection_member.join(image, _is_member))
        .where(_of_collection, _is_shown, _member.position > begins_after)
        .order_by(_member.position)
        .limit(bindparam("limit"))
    )


async def page_images(
    runner: Runner, team_id: UUID, collection_id: UUID, cursor: PlaceCursor, limit: int, included: frozenset[str]
) -> list[Record]:
    """Return images of a collection in its order, without those in the trash, with the columns of what is included."""
    values = {"cursor_id": cursor.image_id, "cursor_position": cursor.position, "limit": limit}
    return await runner.fetch(_images(included), team_id=team_id, collection_id=collection_id, **values)
