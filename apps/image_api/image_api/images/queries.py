"""The SQL of images. Everything is narrowed to a team; null means all teams, for an admin."""

from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, bindparam, false, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.expression import Executable

from image_api.images.columns import BODY_COLUMNS
from image_core.db import Query, Record, Runner, Transaction
from image_core.models import derivative, image

_visible = or_(bindparam("team_id", type_=image.c.team_id.type).is_(None), image.c.team_id == bindparam("team_id"))
_get = Query(select(*BODY_COLUMNS).where(image.c.id == bindparam("image_id"), _visible))
_get_derivative = Query(
    select(
        image.c.deleted_at, image.c.status, derivative.c.object_name, derivative.c.size_bytes, derivative.c.sha256,
        derivative.c.content_type, derivative.c.preset, image.c.filename,
    )
    .select_from(image.outerjoin(
        derivative, and_(derivative.c.image_id == image.c.id, derivative.c.preset == bindparam("preset"))
    ))
    .where(image.c.id == bindparam("image_id"), _visible)
)  # fmt: skip
_get_content = Query(
    select(
        image.c.object_name, image.c.generation, image.c.size_bytes, image.c.sha256, image.c.content_type,
        image.c.filename, image.c.format, image.c.status, image.c.deleted_at,
    ).where(image.c.id == bindparam("image_id"), _visible)
)  # fmt: skip

_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "team_id": image.c.team_id == bindparam("team_id"),
    "nothing": false(),
    "status": image.c.status == bindparam("status"),
    "tag": image.c.tags.contains(bindparam("tag", type_=ARRAY(Text))),
    "content_type": image.c.content_type == bindparam("content_type"),
    "uploaded_by": image.c.uploaded_by == bindparam("uploaded_by"),
    "created_after": image.c.created_at >= bindparam("created_after"),
    "created_before": image.c.created_at < bindparam("created_before"),
    "min_size": image.c.size_bytes >= bindparam("min_size"),
    "max_size": image.c.size_bytes <= bindparam("max_size"),
    "min_width": image.c.width >= bindparam("min_width"),
    "max_width": image.c.width <= bindparam("max_width"),
    "min_height": image.c.height >= bindparam("min_height"),
    "max_height": image.c.height <= bindparam("max_height"),
    "q": image.c.filename.ilike(bindparam("q"), escape="\\"),
    "trashed": image.c.deleted_at.is_not(None),
    "not_trashed": image.c.deleted_at.is_(None),
    "not_expired": image.c.status != "expired",
    "cursor": tuple_(image.c.created_at, image.c.id)
    < tuple_(bindparam("cursor_at", type_=image.c.created_at.type), bindparam("cursor_id", type_=image.c.id.type)),
}


@cache
def _page_query(conditions: frozenset[str]) -> Query:
    """The compiled list for one combination of conditions; there are few of them in practice."""
    return Query(
        select(*BODY_COLUMNS)
        .where(*(_CONDITIONS[name] for name in sorted(conditions)))
        .order_by(image.c.created_at.desc(), image.c.id.desc())
        .limit(bindparam("limit"))
    )


def page_statement(conditions: frozenset[str]) -> Query:
    """The statement that lists images under these conditions, for those who want to explain it."""
    return _page_query(conditions)


async def page(runner: Runner, conditions: frozenset[str], values: dict[str, Any]) -> list[Record]:
    """Images under the conditions, newest first."""
    return await runner.fetch(_page_query(conditions), **values)


async def count(runner: Runner, conditions: frozenset[str], values: dict[str, Any]) -> int:
    """How many images there are under the conditions."""
    statement = select(func.count()).select_from(image).where(*(_CONDITIONS[name] for name in sorted(conditions)))
    total: int = await runner.fetch_value(statement, **values)
    return total


async def find(runner: Runner, team_id: UUID | None, image_id: UUID, base_url: str) -> Record | None:
    """One image with its derivatives."""
    return await runner.fetch_one(_get, team_id=team_id, image_id=image_id, base_url=base_url)


async def find_content(runner: Runner, team_id: UUID | None, image_id: UUID) -> Record | None:
    """Where the original is."""
    return await runner.fetch_one(_get_content, team_id=team_id, image_id=image_id)


async def find_derivative(runner: Runner, team_id: UUID | None, image_id: UUID, preset: str) -> Record | None:
    """Where a derivative is; the derivative's columns are null where the image has none of that preset."""
    return await runner.fetch_one(_get_derivative, team_id=team_id, image_id=image_id, preset=preset)


async def lock(transaction: Transaction, team_id: UUID | None, image_id: UUID) -> Record | None:
    """One image, locked for the rest of the transaction."""
    statement = select(image).where(image.c.id == image_id).with_for_update()
    if team_id is not None:
        statement = statement.where(image.c.team_id == team_id)
    return await transaction.fetch_one(statement)


async def change(transaction: Transaction, image_id: UUID, values: dict[str, Any], base_url: str) -> Record | None:
    """Updates an image and returns its body."""
    statement: Executable = (
        update(image)
        .where(image.c.id == image_id)
        .values(revision=image.c.revision + 1, updated_at=func.now(), **values)
        .returning(*BODY_COLUMNS)
    )
    return await transaction.fetch_one(statement, base_url=base_url)
