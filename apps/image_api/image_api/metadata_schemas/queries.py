"""The SQL of metadata schemas."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from image_core.db import Query, Record, Runner, Transaction
from image_core.models import metadata_schema, team

_find = Query(select(metadata_schema).where(metadata_schema.c.team_id == bindparam("team_id")))
_all_fields = Query(
    select(metadata_schema.c.team_id, metadata_schema.c.fields).where(
        metadata_schema.c.fields != literal_column("'[]'::jsonb")
    )
)


_ordered_teams = (
    select(metadata_schema.c.team_id)
    .join(team, team.c.id == metadata_schema.c.team_id)
    .where(team.c.deleting_at.is_(None))
    .order_by(team.c.created_at, team.c.id)
    .limit(1)
)


async def find(runner: Runner, team_id: UUID) -> Record | None:
    """Return the schema of a team; None if it never had one."""
    return await runner.fetch_one(_find, team_id=team_id)


async def all_fields(runner: Runner) -> list[Record]:
    """Return the fields that teams declare, for an admin; one row per team with a schema."""
    return await runner.fetch(_all_fields)


async def first_team_with(runner: Runner, patterns: Sequence[str]) -> UUID | None:
    """Return the oldest team that declares a field for each regular expression, for an admin; None without one."""
    names = func.jsonb_array_elements(metadata_schema.c.fields).table_valued("value")
    name = names.c.value.op("->>")("name")
    declared = [select(names).where(name.op("~*")(pattern)).exists() for pattern in patterns]
    found: UUID | None = await runner.fetch_value(_ordered_teams.where(*declared))
    return found


async def lock(transaction: Transaction, team_id: UUID) -> Record | None:
    """Return the schema of a team, locked for the rest of the transaction; create an empty one if there is none."""
    absent = insert(metadata_schema).values(team_id=team_id, fields=literal_column("'[]'::jsonb"), revision=0)
    await transaction.execute(absent.on_conflict_do_nothing())
    statement = select(metadata_schema).where(metadata_schema.c.team_id == team_id).with_for_update()
    return await transaction.fetch_one(statement)


async def change(transaction: Transaction, team_id: UUID, fields: str) -> Record | None:
    """Replace the fields of a team's schema and return it. Revisions are never reused, so neither are ETags."""
    statement = (
        update(metadata_schema)
        .where(metadata_schema.c.team_id == team_id)
        .values(
            fields=bindparam("declared", type_=JSONB), revision=metadata_schema.c.revision + 1, updated_at=func.now()
        )
        .returning(metadata_schema)
    )
    return await transaction.fetch_one(statement, declared=fields)
