"""What a share link shows to whoever has its address: the open link itself, and which of its images.

The images of a collection are those that it has now. Images in the trash, and those without a picture, are left out.
"""

from uuid import UUID

from sqlalchemy import (
    Column,
    LargeBinary,
    Table,
    Uuid,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from image_api.links import tokens
from image_core.db import Query, Record, Runner
from image_core.images.transitions import IS_SHOWN
from image_core.models import collection_member, image, share_link, share_link_image, team

HAS_ENDED = or_(share_link.c.ended_at.is_not(None), func.coalesce(share_link.c.expires_at <= func.now(), False))
"""Whether a link's time is over; it is never opened again."""
_find_open = Query(
    select(
        *(
            share_link.c[name]
            for name in (
                "id", "team_id", "title", "collection_id", "presets", "download", "password_hash", "epoch",
                "expires_at",
            )
        )
    )
    .select_from(share_link.join(team, team.c.id == share_link.c.team_id))
    .where(
        share_link.c.token_hash == bindparam("digest", type_=LargeBinary), ~HAS_ENDED, team.c.deleting_at.is_(None)
    )
)  # fmt: skip


def _count(members: Table, owner: Column[UUID]) -> Query:
    return Query(
        select(func.count())
        .select_from(members.join(image, and_(image.c.id == members.c.image_id, image.c.team_id == members.c.team_id)))
        .where(
            owner == bindparam("owner_id", type_=Uuid), members.c.team_id == bindparam("team_id", type_=Uuid), IS_SHOWN
        )
    )


_count_of_list = _count(share_link_image, share_link_image.c.link_id)
_count_of_collection = _count(collection_member, collection_member.c.collection_id)


async def find_open_link(runner: Runner, token: str) -> Record | None:
    """Return the link that an address ends in; None if there is none, or it has ended, or its team is being removed.

    The row has `id`, `team_id`, `title`, `collection_id`, `presets`, `download`, `password_hash`, `epoch` and
    `expires_at`. Whoever shows anything of it asks for the password first.
    """
    digest = tokens.hash_of(token)
    return None if digest is None else await runner.fetch_one(_find_open, digest=digest)


async def count_images(runner: Runner, link: Record) -> int:
    """Return how many images a link shows."""
    query = _count_of_list if link["collection_id"] is None else _count_of_collection
    owner_id = link["collection_id"] or link["id"]
    return int(await runner.fetch_value(query, owner_id=owner_id, team_id=link["team_id"]))
