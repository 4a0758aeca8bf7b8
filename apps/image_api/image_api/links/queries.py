"""The SQL of share links. Everything is limited to a team."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Uuid,
    bindparam,
    case,
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

from image_api.http.pagination import Cursor, newest_first
from image_api.links.viewing import HAS_ENDED
from image_core.db import Query, Record, Runner, Transaction
from image_core.models import collection, collection_member, share_link, share_link_image

_link = share_link.c
_COLUMNS = (
    *(
        _link[name]
        for name in (
            "id", "team_id", "title", "collection_id", "presets", "download", "expires_at", "views", "last_viewed_at",
            "revision", "epoch", "created_at", "updated_at",
        )
    ),
    _link.password_hash.is_not(None).label("has_password"),
    case((HAS_ENDED, literal_column("'expired'")), else_=literal_column("'open'")).label("state"),
    func.now().label("now"),
)  # fmt: skip
_ENDED_COLUMNS = (_link.id, _link.ended_at.is_not(None).label("is_announced"), HAS_ENDED.label("has_expired"))
_visible_team = bindparam("visible_team_id", type_=Uuid)
_one = (_link.id == bindparam("link_id", type_=Uuid), or_(_visible_team.is_(None), _link.team_id == _visible_team))
_find = Query(select(*_COLUMNS).where(*_one))
_lock = Query(select(*_COLUMNS).where(*_one).with_for_update())
_team_of = Query(select(_link.team_id).where(*_one))
# A removal of the collection ends its links, and must find this one.
_keep_collection = Query(
    select(collection.c.id)
    .where(
        collection.c.id == bindparam("collection_id", type_=Uuid),
        collection.c.team_id == bindparam("team_id", type_=Uuid),
    )
    .with_for_update(read=True, key_share=True)
)
_placed = (
    func.unnest(bindparam("image_ids", type_=ARRAY(Uuid)), bindparam("positions", type_=ARRAY(Integer)))
    .table_valued("image_id", "position", name="placed")
    .render_derived()
)
_add_images = Query(
    insert(share_link_image).from_select(
        ["link_id", "image_id", "team_id", "position"],
        select(
            bindparam("link_id", type_=Uuid), _placed.c.image_id, bindparam("team_id", type_=Uuid), _placed.c.position
        ),
    )
)
_count_open_of_collection = Query(
    select(func.count()).select_from(share_link).where(
        _link.collection_id == bindparam("collection_id", type_=Uuid),
        _link.team_id == bindparam("team_id", type_=Uuid), ~HAS_ENDED,
    )
)  # fmt: skip


async def now(transaction: Transaction) -> datetime:
    """Return the time at which the transaction began, by the database's clock."""
    began_at: datetime = await transaction.fetch_value(select(func.now()))
    return began_at


async def page(
    runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int, image_id: UUID | None = None
) -> list[Record]:
    """Return a team's links, newest first; only those with an image, if one is named."""
    statement = select(*_COLUMNS).where(_link.team_id == team_id)
    if image_id is not None:
        statement = statement.where(_has(image_id))
    return await runner.fetch(newest_first(statement, _link.created_at, _link.id, cursor, limit))


def _has(image_id: UUID) -> ColumnElement[bool]:
    """Return the condition that a link names an image, or shows a collection that contains it."""
    chosen, member = share_link_image.c, collection_member.c
    return or_(
        exists().where(chosen.link_id == _link.id, chosen.team_id == _link.team_id, chosen.image_id == image_id),
        exists().where(
            member.collection_id == _link.collection_id, member.team_id == _link.team_id, member.image_id == image_id
        ),
    )


async def find(runner: Runner, visible_team_id: UUID | None, link_id: UUID) -> Record | None:
    """Return one link."""
    return await runner.fetch_one(_find, link_id=link_id, visible_team_id=visible_team_id)


async def find_team(runner: Runner, visible_team_id: UUID | None, link_id: UUID) -> UUID | None:
    """Return the team of a link."""
    team_id: UUID | None = await runner.fetch_value(_team_of, link_id=link_id, visible_team_id=visible_team_id)
    return team_id


async def lock(transaction: Transaction, visible_team_id: UUID | None, link_id: UUID) -> Record | None:
    """Return one link, locked for the rest of the transaction."""
    return await transaction.fetch_one(_lock, link_id=link_id, visible_team_id=visible_team_id)


async def count(transaction: Transaction, team_id: UUID) -> int:
    """Return the number of a team's links, open or not."""
    statement = select(func.count()).select_from(share_link).where(_link.team_id == team_id)
    return int(await transaction.fetch_value(statement))


async def keep_collection(transaction: Transaction, team_id: UUID, collection_id: UUID) -> bool:
    """Keep a collection from being removed until the transaction ends; return False if the team has none such."""
    found = await transaction.fetch_one(_keep_collection, team_id=team_id, collection_id=collection_id)
    return found is not None


async def add(
    transaction: Transaction, team_id: UUID, link_id: UUID, image_ids: Sequence[UUID], values: dict[str, Any]
) -> None:
    """Insert a link, with these images of the team in this order."""
    await transaction.execute(insert(share_link).values(id=link_id, team_id=team_id, **values))
    if image_ids:
        places = {"image_ids": list(image_ids), "positions": list(range(len(image_ids)))}
        await transaction.execute(_add_images, link_id=link_id, team_id=team_id, **places)


async def change(
    transaction: Transaction, team_id: UUID, link_id: UUID, values: dict[str, Any], *, raises_epoch: bool
) -> None:
    """Update a link, and count the change; `raises_epoch` ends the addresses of pictures that were handed out."""
    await transaction.execute(
        update(share_link)
        .where(_link.id == link_id, _link.team_id == team_id)
        .values(revision=_link.revision + 1, epoch=_link.epoch + int(raises_epoch), updated_at=func.now(), **values)
    )


async def remove(transaction: Transaction, team_id: UUID, link_id: UUID) -> Record | None:
    """Delete a link, and return it with whether it had ended before, and whether that was announced."""
    statement = delete(share_link).where(_link.id == link_id, _link.team_id == team_id)
    return await transaction.fetch_one(statement.returning(*_ENDED_COLUMNS))


async def remove_of_collection(transaction: Transaction, team_id: UUID, collection_id: UUID) -> list[Record]:
    """Delete the links of a collection, and return them as `remove` does."""
    of_collection = _link.collection_id == collection_id, _link.team_id == team_id
    # In the order in which views are written, so that neither waits for the other in a circle.
    await transaction.fetch(select(_link.id).where(*of_collection).order_by(_link.id).with_for_update())
    return await transaction.fetch(delete(share_link).where(*of_collection).returning(*_ENDED_COLUMNS))


async def count_open_of_collection(runner: Runner, team_id: UUID, collection_id: UUID) -> int:
    """Return how many links to a collection are open."""
    return int(await runner.fetch_value(_count_open_of_collection, team_id=team_id, collection_id=collection_id))
