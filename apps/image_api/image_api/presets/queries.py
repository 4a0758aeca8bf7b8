"""The SQL of presets. Everything is limited to a team."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from image_core.db import Record, Runner, Transaction
from image_core.images.presets import COLUMNS, NEWEST_ID
from image_core.models import image, preset, share_link, team
from image_core.states import Visibility

_SHOWN = (*COLUMNS, preset.c.revision, preset.c.updated_at)


async def rows_of_team(runner: Runner, team_id: UUID) -> list[Record]:
    """Return the rows of a team's presets."""
    return await runner.fetch(select(*_SHOWN).where(preset.c.team_id == team_id).order_by(preset.c.name))


async def find(runner: Runner, team_id: UUID, name: str) -> Record | None:
    """Return the row of one preset."""
    return await runner.fetch_one(select(*_SHOWN).where(preset.c.team_id == team_id, preset.c.name == name))


async def put(
    transaction: Transaction, team_id: UUID, name: str, values: dict[str, Any], *, remake: bool
) -> Record | None:
    """Insert or replace a preset and return its row. `remake` has it made again for all images of the team."""
    if remake:
        values = {**values, "remake_before": NEWEST_ID}
    statement = insert(preset).values(team_id=team_id, name=name, **values)
    statement = statement.on_conflict_do_update(
        index_elements=["team_id", "name"],
        set_={**values, "revision": preset.c.revision + 1, "updated_at": func.now()},
    )
    return await transaction.fetch_one(statement.returning(*_SHOWN))


async def remove(transaction: Transaction, team_id: UUID, name: str) -> datetime:
    """Delete a preset, and return the time at which that was done."""
    await transaction.execute(delete(preset).where(preset.c.team_id == team_id, preset.c.name == name))
    # That of the transaction is older than pictures for whose end it waited.
    removed_at: datetime = await transaction.fetch_value(select(func.clock_timestamp()))
    return removed_at


async def count_links(transaction: Transaction, team_id: UUID, name: str) -> int:
    """Return how many open share links of a team show a preset."""
    link = share_link.c
    is_open = and_(link.ended_at.is_(None), func.coalesce(link.expires_at > func.now(), True))
    statement = select(func.count()).where(link.team_id == team_id, link.presets.contains([name]), is_open)
    return int(await transaction.fetch_value(statement))


async def count_public_images(runner: Runner, team_id: UUID) -> int:
    """Return how many images of a team are public and not in the trash."""
    is_public = func.coalesce(image.c.visibility, team.c.default_visibility) == Visibility.PUBLIC
    statement = (
        select(func.count())
        .select_from(image.join(team, team.c.id == image.c.team_id))
        .where(image.c.team_id == team_id, image.c.deleted_at.is_(None), is_public)
    )
    count: int = await runner.fetch_value(statement)
    return count
