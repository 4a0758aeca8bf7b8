"""The SQL of delivery addresses. A null team means any, for an admin."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Uuid, bindparam, func, or_, select

from image_core.db import Query, Record, Runner
from image_core.models import delivery_key, image

_team = bindparam("team_id", type_=Uuid)
_images = Query(
    select(
        image.c.id, image.c.team_id, image.c.status, image.c.generation, image.c.delivery_epoch, image.c.deleted_at,
        image.c.width, image.c.height,
    ).where(
        image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid))),
        or_(_team.is_(None), image.c.team_id == _team),
    )
)  # fmt: skip
_keys = Query(
    select(delivery_key.c.number, delivery_key.c.team_id).where(
        delivery_key.c.number == func.any(bindparam("numbers", type_=ARRAY(BigInteger))),
        or_(_team.is_(None), delivery_key.c.team_id == _team),
    )
)


async def find_images(runner: Runner, team_id: UUID | None, image_ids: Collection[UUID]) -> dict[UUID, Record]:
    """Return the images with these ids, by id."""
    rows = await runner.fetch(_images, team_id=team_id, image_ids=list(image_ids))
    return {row["id"]: row for row in rows}


async def teams_of_keys(runner: Runner, team_id: UUID | None, numbers: Collection[int]) -> dict[int, UUID]:
    """Return the team of each delivery key with one of these numbers, retired ones included."""
    rows = await runner.fetch(_keys, team_id=team_id, numbers=list(numbers))
    return {row["number"]: row["team_id"] for row in rows}
