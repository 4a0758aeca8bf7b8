"""The SQL of images. Every query is restricted to a team; null means all teams, for an admin."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import (
    Update,
    Uuid,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from image_api.images.columns import BODY_COLUMNS, RESULT_COLUMNS
from image_core.db import Query, Record, Runner, Transaction
from image_core.delivery.rendition_requests import SOURCE
from image_core.models import analysis, derivative, image

_visible = or_(bindparam("team_id", type_=image.c.team_id.type).is_(None), image.c.team_id == bindparam("team_id"))
_get = Query(select(*BODY_COLUMNS).where(image.c.id == bindparam("image_id"), _visible))
_status = Query(select(image.c.status).where(image.c.id == bindparam("image_id"), _visible))
_results = Query(
    select(*RESULT_COLUMNS)
    .where(
        analysis.c.team_id == bindparam("team_id"), analysis.c.sha256 == bindparam("sha256"),
        analysis.c.status == literal_column("'done'"),
    )
    .order_by(analysis.c.analyzed_at.desc(), analysis.c.id.desc())
    .limit(literal_column("200"))
)  # fmt: skip
_get_derivative = Query(
    select(
        image.c.deleted_at, image.c.status, derivative.c.object_name, derivative.c.size_bytes, derivative.c.sha256,
        derivative.c.content_type, derivative.c.preset, image.c.filename,
    )
    .select_from(image.outerjoin(
        derivative,
        and_(
            derivative.c.image_id == image.c.id, derivative.c.preset == bindparam("preset"),
            # What others are made of is nobody's to see.
            derivative.c.preset != literal_column(f"'{SOURCE}'"),
        ),
    ))
    .where(image.c.id == bindparam("image_id"), _visible)
)  # fmt: skip
_get_content = Query(
    select(
        image.c.object_name, image.c.generation, image.c.size_bytes, image.c.sha256, image.c.content_type,
        image.c.filename, image.c.format, image.c.status, image.c.deleted_at,
    ).where(image.c.id == bindparam("image_id"), _visible)
)  # fmt: skip

# A purge locks the image before the collections and links that show it, and so does whoever adds it.
_keep_images = Query(
    select(image.c.id)
    .where(image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid))), image.c.team_id == bindparam("team_id"))
    .order_by(image.c.id)
    .with_for_update(read=True, key_share=True)
)


async def find(runner: Runner, team_id: UUID | None, image_id: UUID) -> Record | None:
    """Return one image with its derivatives."""
    return await runner.fetch_one(_get, team_id=team_id, image_id=image_id)


async def find_status(runner: Runner, team_id: UUID | None, image_id: UUID) -> str | None:
    """Return the status of one image; None if it does not exist."""
    status: str | None = await runner.fetch_value(_status, team_id=team_id, image_id=image_id)
    return status


async def results(runner: Runner, team_id: UUID, sha256: bytes) -> list[Record]:
    """Return the results of analyses of these bytes, newest first."""
    return await runner.fetch(_results, team_id=team_id, sha256=sha256)


async def find_content(runner: Runner, team_id: UUID | None, image_id: UUID) -> Record | None:
    """Return the location of the original."""
    return await runner.fetch_one(_get_content, team_id=team_id, image_id=image_id)


async def find_derivative(runner: Runner, team_id: UUID | None, image_id: UUID, preset: str) -> Record | None:
    """Return the location of a derivative; its columns are null if the image has none of that preset."""
    return await runner.fetch_one(_get_derivative, team_id=team_id, image_id=image_id, preset=preset)


async def lock(transaction: Transaction, team_id: UUID | None, image_id: UUID) -> Record | None:
    """Return one image, locked for the rest of the transaction."""
    statement = select(image).where(image.c.id == image_id).with_for_update()
    if team_id is not None:
        statement = statement.where(image.c.team_id == team_id)
    return await transaction.fetch_one(statement)


async def change(transaction: Transaction, transition: Update) -> Record | None:
    """Apply a transition to an image found or locked within the caller's team; return the changed row."""
    return await transaction.fetch_one(transition.returning(*BODY_COLUMNS))


async def keep_images(transaction: Transaction, team_id: UUID, image_ids: Collection[UUID]) -> set[UUID]:
    """Return which of these images the team has, and keep them from being purged until the transaction ends."""
    rows = await transaction.fetch(_keep_images, team_id=team_id, image_ids=list(image_ids))
    return {row["id"] for row in rows}
