"""The SQL of usage and limits. Everything is limited to a team."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Date, Uuid, cast, func, literal_column, null, select

from image_core.db import Record, Runner
from image_core.images.presets import BUILT_IN
from image_core.models import collection, credit_entry, delivery_usage, preset, request_usage, saved_search, share_link


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return cast(func.sum(column), BigInteger)


async def requests(
    runner: Runner, team_id: UUID, first_day: date, last_day: date, credential_id: UUID | None, *, by_key: bool
) -> list[Record]:
    """Return counted requests by day and operation, or by day and key; of one key if it is named."""
    operation, key = request_usage.c.operation, request_usage.c.credential_id
    group = key if by_key else operation
    statement = (
        select(
            request_usage.c.day,
            (null() if by_key else operation).label("operation"),
            (key if by_key else cast(null(), Uuid)).label("credential_id"),
            _sum(request_usage.c.requests).label("requests"),
            _sum(request_usage.c.failed).label("failed"),
        )
        .where(request_usage.c.team_id == team_id, request_usage.c.day.between(first_day, last_day))
        .group_by(request_usage.c.day, group)
        .order_by(request_usage.c.day.desc(), group)
    )
    if credential_id is not None:
        statement = statement.where(key == credential_id)
    return await runner.fetch(statement)


async def credits(runner: Runner, team_id: UUID, begin: datetime, end: datetime) -> list[Record]:
    """Return the credits spent between two times, by day and operation."""
    day = cast(func.timezone("utc", credit_entry.c.created_at), Date)
    statement = (
        select(day.label("day"), credit_entry.c.operation, _sum(-credit_entry.c.amount).label("credits"))
        .where(
            credit_entry.c.team_id == team_id, credit_entry.c.created_at >= begin, credit_entry.c.created_at < end,
            credit_entry.c.operation.is_not(None),
        )
        .group_by(day, credit_entry.c.operation)
        .having(func.sum(credit_entry.c.amount) != 0)
        .order_by(day.desc(), credit_entry.c.operation)
    )  # fmt: skip
    return await runner.fetch(statement)


async def delivery(runner: Runner, team_id: UUID, first_day: date, last_day: date) -> list[Record]:
    """Return what was delivered, by day."""
    usage = delivery_usage.c
    return await runner.fetch(
        select(usage.day, usage.requests, usage.bytes, (usage.exact_makes + usage.open_makes).label("pictures_made"))
        .where(usage.team_id == team_id, usage.day.between(first_day, last_day))
        .order_by(usage.day.desc())
    )


async def counts(runner: Runner, team_id: UUID) -> Record | None:
    """Return how many presets of its own, collections and saved searches a team has."""
    own = preset.c.name.not_in([literal_column(repr(name)) for name in BUILT_IN])
    return await runner.fetch_one(
        select(
            *(
                select(func.count()).select_from(table).where(table.c.team_id == team_id, *conditions)
                .scalar_subquery().label(name)
                for name, table, conditions in (
                    ("presets", preset, (own,)), ("collections", collection, ()), ("saved_searches", saved_search, ()),
                    ("share_links", share_link, ()),
                )
            )
        )
    )  # fmt: skip
