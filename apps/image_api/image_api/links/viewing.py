"""What a share link shows to whoever has its address: the open link itself, and its images in their order.

The images of a collection are those that it has now. Images in the trash, and those without a picture, are left out.
"""

from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    LargeBinary,
    Uuid,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)

from image_api.images.columns import PLACEHOLDER
from image_api.links import tokens
from image_core.db import Query, Record, Runner
from image_core.models import collection_member, image, share_link, share_link_image, team
from image_core.states import ImageStatus

BEFORE_ALL, AFTER_ALL = -(2**63), 2**63 - 1
"""Positions before the first and after the last image."""

_SHOWN_STATUSES = (ImageStatus.STORED, ImageStatus.PROCESSING, ImageStatus.READY)
_is_shown = and_(
    image.c.deleted_at.is_(None), image.c.status.in_([literal_column(f"'{each}'") for each in _SHOWN_STATUSES])
)
_SHOWN_COLUMNS: tuple[ColumnElement[Any], ...] = (
    *(
        image.c[name]
        for name in (
            "id", "team_id", "status", "width", "height", "frames", "content_type", "format", "size_bytes",
            "generation", "delivery_epoch", "alt_text", "alt_text_language",
        )
    ),
    PLACEHOLDER.label("placeholder"),
)  # fmt: skip

HAS_ENDED = or_(share_link.c.ended_at.is_not(None), func.coalesce(share_link.c.expires_at <= func.now(), False))
"""Whether a link's time is over; it is never opened again."""
_find_open = Query(
    select(
        *(
            share_link.c[name]
            for name in (
                "id", "team_id", "title", "collection_id", "presets", "download", "password_hash", "epoch",
                "expires_at", "created_at",
            )
        )
    )
    .select_from(share_link.join(team, team.c.id == share_link.c.team_id))
    .where(
        share_link.c.token_hash == bindparam("digest", type_=LargeBinary), ~HAS_ENDED, team.c.deleting_at.is_(None)
    )
)  # fmt: skip


def _members_of(link_row: Record) -> tuple[bool, dict[str, Any]]:
    """Return whether the link shows a collection, and the values that its queries take."""
    is_collection = link_row["collection_id"] is not None
    source_id = link_row["collection_id"] if is_collection else link_row["id"]
    return is_collection, {"source_id": source_id, "team_id": link_row["team_id"]}


def _shown(is_collection: bool, *columns: ColumnElement[Any]) -> tuple[Any, ColumnElement[int]]:
    """Return a statement for the images of a link, and the column of their position."""
    members = collection_member if is_collection else share_link_image
    source = collection_member.c.collection_id if is_collection else share_link_image.c.link_id
    joined = members.join(image, and_(image.c.id == members.c.image_id, image.c.team_id == members.c.team_id))
    statement = (
        select(*columns)
        .select_from(joined)
        .where(
            source == bindparam("source_id", type_=Uuid), members.c.team_id == bindparam("team_id", type_=Uuid),
            _is_shown,
        )
    )  # fmt: skip
    return statement, members.c.position


@lru_cache
def _page(is_collection: bool, backwards: bool) -> Query:
    statement, position = _shown(is_collection, *_SHOWN_COLUMNS)
    edge = bindparam("edge", type_=BigInteger)
    return Query(
        statement.add_columns(position)
        .where(position < edge if backwards else position > edge)
        .order_by(position.desc() if backwards else position)
        .limit(bindparam("limit", type_=Integer))
    )


@lru_cache
def _one(is_collection: bool) -> Query:
    statement, position = _shown(is_collection, *_SHOWN_COLUMNS)
    return Query(statement.add_columns(position).where(image.c.id == bindparam("image_id", type_=Uuid)))


@lru_cache
def _count(is_collection: bool) -> Query:
    return Query(_shown(is_collection, func.count())[0])


async def find_open_link(runner: Runner, token: str) -> Record | None:
    """Return the link that an address ends in; None if there is none, or it has ended, or its team is being removed.

    The row has `id`, `team_id`, `title`, `collection_id`, `presets`, `download`, `password_hash`, `epoch`, `expires_at`
    and `created_at`. Whoever shows anything of it asks for the password first.
    """
    digest = tokens.hash_of(token)
    return None if digest is None else await runner.fetch_one(_find_open, digest=digest)


async def images_after(runner: Runner, link: Record, position: int, limit: int) -> list[Record]:
    """Return the first images of a link after a position, in their order.

    A row has what addresses are made of (`images.columns.tag_of`, width, height), the alternative text, the placeholder
    and `position`. `link` is a row of `find_open_link`.
    """
    is_collection, values = _members_of(link)
    return await runner.fetch(_page(is_collection, backwards=False), edge=position, limit=limit, **values)


async def images_before(runner: Runner, link: Record, position: int, limit: int) -> list[Record]:
    """Return the last images of a link before a position, in their order."""
    is_collection, values = _members_of(link)
    found = await runner.fetch(_page(is_collection, backwards=True), edge=position, limit=limit, **values)
    return found[::-1]


async def find_image(runner: Runner, link: Record, image_id: UUID) -> Record | None:
    """Return one image of a link, with its position; None if the link does not show it."""
    is_collection, values = _members_of(link)
    return await runner.fetch_one(_one(is_collection), image_id=image_id, **values)


async def count_images(runner: Runner, link: Record) -> int:
    """Return how many images a link shows."""
    is_collection, values = _members_of(link)
    return int(await runner.fetch_value(_count(is_collection), **values))
