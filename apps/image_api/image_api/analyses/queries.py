"""The SQL of analyses. Every query is restricted to a team; null means all teams, for an admin."""

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import LargeBinary, Uuid, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from image_api.http.pagination import Cursor, newest_first
from image_core.billing.credits import ReservationStatus
from image_core.db import Query, Record, Runner, Transaction
from image_core.ids import new_id
from image_core.models import HOLDS_BYTES_CLAUSE, analysis, credit_account, credit_reservation, image, team
from image_core.states import AnalysisStatus


class ContentKey(NamedTuple):
    """The key of the analyzed content: the SHA-256 of its bytes, and the team that owns it."""

    team_id: UUID
    sha256: bytes


class Scratch(NamedTuple):
    """An object in the scratch bucket whose bytes do not belong to an image."""

    object_name: str
    generation: int


class Order(NamedTuple):
    """The key under which a result is stored, besides its content. `parameters` is JSON."""

    analyzer: str
    version: str
    parameters: str
    parameters_hash: bytes


_content_columns = tuple(
    image.c[name] for name in ("id", "team_id", "status", "sha256", "deleted_at", "failure_code", "failure_message")
)
_visible = or_(bindparam("team_id", type_=image.c.team_id.type).is_(None), image.c.team_id == bindparam("team_id"))
_image = Query(select(*_content_columns).where(image.c.id == bindparam("image_id"), _visible))
_images = Query(
    select(*_content_columns).where(image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid))), _visible)
)
_columns = (
    *(
        analysis.c[name]
        for name in (
            "id", "team_id", "sha256", "analyzer", "version", "parameters", "status", "result", "failure_code",
            "failure_message", "analyzed_at", "created_at",
        )
    ),
)  # fmt: skip
_spent = (
    select(credit_reservation.c.amount)
    .where(
        credit_reservation.c.id == analysis.c.reservation_id,
        credit_reservation.c.team_id == analysis.c.team_id,
        or_(
            credit_reservation.c.status == ReservationStatus.RESERVED,
            credit_reservation.c.status == ReservationStatus.COMMITTED,
        ),
    )
    .scalar_subquery()
    .label("credits_spent")
)
"""What an analysis costs; null if nothing was paid, or if it was returned."""
_of_order = (
    analysis.c.analyzer == bindparam("analyzer"),
    analysis.c.version == bindparam("version"),
    analysis.c.parameters_hash == bindparam("parameters_hash"),
    analysis.c.status != AnalysisStatus.FAILED,
)
"""Conditions of the analyses that an order asks for and that are done or in progress."""
_by_content = Query(
    select(*_columns).where(
        analysis.c.team_id == bindparam("team_id"),
        analysis.c.sha256 == bindparam("sha256"),
        *_of_order,
    )
)
_of_contents = Query(
    select(analysis.c.id, analysis.c.sha256).where(
        analysis.c.team_id == bindparam("team_id"),
        analysis.c.sha256 == func.any(bindparam("digests", type_=ARRAY(LargeBinary))),
        *_of_order,
    )
)
_by_id = Query(
    select(
        *_columns,
        select(image.c.id)
        .where(
            image.c.team_id == analysis.c.team_id,
            image.c.sha256 == analysis.c.sha256,
            image.c.deleted_at.is_(None),
            HOLDS_BYTES_CLAUSE,
        )
        .scalar_subquery()
        .label("image_id"),
    ).where(
        analysis.c.id == bindparam("analysis_id"),
        or_(bindparam("team_id", type_=analysis.c.team_id.type).is_(None), analysis.c.team_id == bindparam("team_id")),
    )
)
_outcomes = Query(
    select(analysis.c.id, analysis.c.status, analysis.c.failure_code, analysis.c.failure_message).where(
        analysis.c.team_id == bindparam("team_id"),
        analysis.c.id == func.any(bindparam("analysis_ids", type_=ARRAY(Uuid))),
    )
)
_label_source = Query(select(team.c.label_source).where(team.c.id == bindparam("team_id")))
_balance = Query(select(credit_account.c.balance).where(credit_account.c.team_id == bindparam("team_id")))


async def find_image(runner: Runner, team_id: UUID | None, image_id: UUID) -> Record | None:
    """Return the columns that determine whether an image can be analyzed."""
    return await runner.fetch_one(_image, team_id=team_id, image_id=image_id)


async def find_images(runner: Runner, team_id: UUID | None, image_ids: Collection[UUID]) -> dict[UUID, Record]:
    """Return what determines whether each of these images can be analyzed; absent ones are left out."""
    rows = await runner.fetch(_images, team_id=team_id, image_ids=list(image_ids))
    return {row["id"]: row for row in rows}


async def ids_by_content(runner: Runner, team_id: UUID, digests: Collection[bytes], order: Order) -> dict[bytes, UUID]:
    """Return the analyses of these contents that are done or in progress, by SHA-256."""
    rows = await runner.fetch(
        _of_contents, team_id=team_id, digests=list(digests), analyzer=order.analyzer, version=order.version,
        parameters_hash=order.parameters_hash,
    )  # fmt: skip
    return {row["sha256"]: row["id"] for row in rows}


async def find_outcomes(runner: Runner, team_id: UUID, analysis_ids: Collection[UUID]) -> list[Record]:
    """Return what became of analyses of a team; absent ones are left out."""
    return await runner.fetch(_outcomes, team_id=team_id, analysis_ids=list(analysis_ids))


async def find_by_content(runner: Runner, content: ContentKey, order: Order) -> Record | None:
    """Return the analysis that is done or in progress."""
    return await runner.fetch_one(
        _by_content,
        **content._asdict(),
        analyzer=order.analyzer,
        version=order.version,
        parameters_hash=order.parameters_hash,
    )


async def find(runner: Runner, team_id: UUID | None, analysis_id: UUID) -> Record | None:
    """Return one analysis, with the image outside the trash that has its bytes."""
    return await runner.fetch_one(_by_id, team_id=team_id, analysis_id=analysis_id)


async def page(runner: Runner, content: ContentKey, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return the analyses of some content, newest first, with the credits that each has cost."""
    of_content = analysis.c.team_id == content.team_id, analysis.c.sha256 == content.sha256
    statement = select(*_columns, _spent).where(*of_content)
    return await runner.fetch(newest_first(statement, analysis.c.created_at, analysis.c.id, cursor, limit))


async def add(
    transaction: Transaction, content: ContentKey, order: Order, reservation_id: UUID | None, **values: Any
) -> Record | None:
    """Insert a request; return None if the same analysis was requested concurrently."""
    statement = (
        insert(analysis)
        .values(
            id=new_id(), **content._asdict(), **order._asdict(), reservation_id=reservation_id, queued_at=func.now(),
            **values,
        )
        .on_conflict_do_nothing()
        .returning(*_columns)
    )  # fmt: skip
    return await transaction.fetch_one(statement)


async def label_source(runner: Runner, team_id: UUID) -> str:
    """Return the label source of a team."""
    source: str = await runner.fetch_value(_label_source, team_id=team_id)
    return source


async def balance(runner: Runner, team_id: UUID) -> int:
    """Return the credits that a team has left."""
    left: int = await runner.fetch_value(_balance, team_id=team_id)
    return left
