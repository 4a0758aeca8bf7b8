"""The SQL of the pages of share links. Images are found under the team of the link."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    Select,
    Table,
    Uuid,
    and_,
    bindparam,
    func,
    select,
)

from image_api.images.columns import PLACEHOLDER
from image_core.db import Query, Record, Runner
from image_core.images.transitions import IS_SHOWN
from image_core.models import collection_member, image, share_link_image

_COLUMNS = (
    image.c.id, image.c.generation, image.c.delivery_epoch, image.c.width, image.c.height, image.c.frames,
    image.c.alt_text, image.c.alt_text_language, image.c.description, PLACEHOLDER.label("placeholder"),
)  # fmt: skip
_team_id = bindparam("team_id", type_=Uuid)


def _shown(members: Table, owner: Column[UUID], *columns: Any) -> Select[Any]:
    """Return the statement for the images that a link shows, in its order, with columns about their order."""
    return (
        select(image.c.id, members.c.position, *columns)
        .select_from(members.join(image, and_(image.c.id == members.c.image_id, image.c.team_id == members.c.team_id)))
        .where(owner == bindparam("owner_id", type_=Uuid), members.c.team_id == _team_id, IS_SHOWN)
        .order_by(members.c.position)
    )


def _page(members: Table, owner: Column[UUID]) -> Query:
    # Only the images of the page are read as a whole.
    found = _shown(members, owner, func.count().over().label("total")).limit(bindparam("limit"))
    page = found.offset(bindparam("skipped")).subquery("page")
    return Query(
        select(page.c.total, *_COLUMNS)
        .select_from(page.join(image, image.c.id == page.c.id))
        .where(image.c.team_id == _team_id)
        .order_by(page.c.position)
    )


def _one(members: Table, owner: Column[UUID]) -> Query:
    place = members.c.position
    ordered = _shown(
        members,
        owner,
        func.row_number().over(order_by=place).label("number"),
        func.lag(image.c.id).over(order_by=place).label("previous_id"),
        func.lead(image.c.id).over(order_by=place).label("next_id"),
        func.count().over().label("total"),
    ).subquery("ordered")
    return Query(
        select(ordered.c.number, ordered.c.previous_id, ordered.c.next_id, ordered.c.total, *_COLUMNS)
        .select_from(ordered.join(image, image.c.id == ordered.c.id))
        .where(image.c.id == bindparam("image_id", type_=Uuid), image.c.team_id == _team_id)
    )


_of_list = share_link_image, share_link_image.c.link_id
_of_collection = collection_member, collection_member.c.collection_id
_page_of_list, _page_of_collection = _page(*_of_list), _page(*_of_collection)
_one_of_list, _one_of_collection = _one(*_of_list), _one(*_of_collection)


async def page_images(runner: Runner, link: Record, skipped: int, limit: int) -> list[Record]:
    """Return images that a link shows, in its order, each with the `total` number of them."""
    query = _page_of_list if link["collection_id"] is None else _page_of_collection
    return await runner.fetch(query, **_owner(link), skipped=skipped, limit=limit)


async def find_image(runner: Runner, link: Record, image_id: UUID) -> Record | None:
    """Return one of the images that a link shows, with its number from 1, the ids of its neighbors, and the total."""
    query = _one_of_list if link["collection_id"] is None else _one_of_collection
    return await runner.fetch_one(query, **_owner(link), image_id=image_id)


def _owner(link: Record) -> dict[str, UUID]:
    return {"owner_id": link["collection_id"] or link["id"], "team_id": link["team_id"]}
