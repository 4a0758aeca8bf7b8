"""The SQL of teams."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, insert, literal, literal_column, select, tuple_, update

from image_api.pagination import Cursor
from image_core.db import Record, Runner, Transaction
from image_core.events import EventType, Topic
from image_core.models import event, image, team, user


async def find(runner: Runner, team_id: UUID) -> Record | None:
    """One team."""
    return await runner.fetch_one(select(team).where(team.c.id == team_id))


async def page(runner: Runner, only_id: UUID | None, cursor: Cursor | None, limit: int) -> list[Record]:
    """Teams, newest first; only the one of `only_id` where it is given."""
    statement = select(team).order_by(team.c.created_at.desc(), team.c.id.desc()).limit(limit)
    if only_id is not None:
        statement = statement.where(team.c.id == only_id)
    if cursor is not None:
        statement = statement.where(tuple_(team.c.created_at, team.c.id) < tuple_(cursor.created_at, cursor.row_id))
    return await runner.fetch(statement)


async def add(transaction: Transaction, team_id: UUID, values: dict[str, Any]) -> Record | None:
    """Inserts a team and returns it."""
    return await transaction.fetch_one(insert(team).values(id=team_id, **values).returning(team))


async def lock(transaction: Transaction, team_id: UUID) -> Record | None:
    """One team, locked for the rest of the transaction."""
    return await transaction.fetch_one(select(team).where(team.c.id == team_id).with_for_update())


async def change(transaction: Transaction, team_id: UUID, values: dict[str, Any]) -> Record | None:
    """Updates a team and returns it."""
    return await transaction.fetch_one(
        update(team)
        .where(team.c.id == team_id)
        .values(revision=team.c.revision + 1, updated_at=func.now(), **values)
        .returning(team)
    )


async def has_members_or_images(transaction: Transaction, team_id: UUID) -> bool:
    """Whether anything still belongs to the team."""
    people = exists().where(user.c.team_id == team_id)
    images = exists().where(image.c.team_id == team_id)
    return bool(await transaction.fetch_value(select(people | images)))


async def trash_images(transaction: Transaction, team_id: UUID) -> int:
    """Puts every image of the team into the trash, with the event of each; returns how many.

    There may be very many, so the sweep publishes these events.
    """
    trashed = (
        update(image)
        .where(image.c.team_id == team_id, image.c.deleted_at.is_(None), image.c.status != "expired")
        .values(deleted_at=func.now(), updated_at=func.now(), revision=image.c.revision + 1)
        .returning(image.c.id)
        .cte("trashed")
    )
    columns = {
        event.c.id: func.gen_random_uuid(),
        event.c.topic: literal(Topic.EVENTS),
        event.c.type: literal(EventType.TRASHED),
        event.c.team_id: literal(team_id),
        event.c.image_id: trashed.c.id,
        event.c.payload: literal_column("'{}'::jsonb"),
    }
    return await transaction.execute(insert(event).from_select(list(columns), select(*columns.values())))


async def remove(transaction: Transaction, team_id: UUID) -> None:
    """Deletes the row of a team that nothing belongs to."""
    await transaction.execute(delete(team).where(team.c.id == team_id))
