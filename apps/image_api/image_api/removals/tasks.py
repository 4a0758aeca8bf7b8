"""Removes teams and users: an item for each image of a team, and one for the rest.

If such an operation is cancelled or fails, the sweep does the same with the time that images have in the trash.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from image_api.images.tasks import purge_image
from image_api.operations.items import DONE, Item, NewItem, Operation, Outcome, in_progress
from image_api.operations.kinds import Filled, Kind
from image_api.removals import queries
from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, GROUP, Budget
from image_api.teams import tasks as teams
from image_api.users import tasks as users
from image_core.db import Record, Transaction
from image_core.images import transitions
from image_core.images.discards import REMEMBERED, schedule_removal
from image_core.images.object_names import Bucket
from image_core.states import ImageStatus

_PAGE = 1000
_SECONDS = 5.0
"""How long a turn works on what is not an image."""


class TeamRemoval(Kind):
    """Purges the images of a removed team, and then removes its members and the team.

    `parameters` hold `team_id`, and `retention_days` for which its images stay in the trash.
    """

    seconds_per_item: ClassVar[float] = 0.1

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:
        """See `Kind`."""
        after_id = None if operation.fill_position is None else UUID(operation.fill_position)
        rows = await queries.images_after(parts.database, _team_of(operation), after_id, _PAGE)
        items = [NewItem(row["id"], size_bytes=row["size_bytes"] or 0) for row in rows]
        if len(rows) == _PAGE:
            return Filled(items, str(rows[-1]["id"]))
        # The last item is the team.
        return Filled([*items, NewItem()], None)

    async def run_item(
        self,
        parts: TaskParts,  # noqa: ARG002
        transaction: Transaction,
        operation: Operation,
        item: Item,
    ) -> Outcome:
        """See `Kind`."""
        team_id = _team_of(operation)
        if item.image_id is None:
            return in_progress(team_id)
        is_there = await queries.remaining(transaction, team_id, [item.image_id])
        return in_progress(item.image_id) if is_there else DONE

    async def settle(self, parts: TaskParts, operation: Operation, items: Sequence[Item]) -> Mapping[int, Outcome]:
        """Purge the next images, and return which of these items are gone."""
        team_id = _team_of(operation)
        if await queries.is_there(parts.database, team_id):
            await self._go_on(parts, team_id, timedelta(days=operation.parameters["retention_days"]))
        is_there = await queries.is_there(parts.database, team_id)
        image_ids = [item.image_id for item in items if item.image_id is not None]
        left = await queries.remaining(parts.database, team_id, image_ids)
        return {
            item.position: DONE
            for item in items
            if (not is_there if item.image_id is None else item.image_id not in left)
        }

    async def _go_on(self, parts: TaskParts, team_id: UUID, retention: timedelta) -> None:
        await teams.trash_images(parts, team_id, Budget("team_removal", _SECONDS))
        await parts.database.execute(transitions.mark_for_purge(retention, BATCH, team_id))
        rows = await queries.marked(parts.database, team_id, BATCH)
        for first in range(0, len(rows), GROUP):
            await asyncio.gather(*(_purge(parts, row) for row in rows[first : first + GROUP]))
        await queries.remove_expired(parts.database, team_id, BATCH)
        # Removes the members and the team once no image is left.
        await teams.remove_team(parts, team_id, Budget("team_removal", _SECONDS))


async def _purge(parts: TaskParts, row: Record) -> None:
    if ImageStatus(row["status"]) is ImageStatus.PENDING:
        # Bytes that are on their way arrive without a row; they are removed when they do, and once more later.
        async with committing(parts) as transaction:
            await schedule_removal(transaction, Bucket.ORIGINALS, row["object_name"], None, REMEMBERED)
    await purge_image(parts, row)


def _team_of(operation: Operation) -> UUID:
    return UUID(operation.parameters["team_id"])


class UserRemoval(Kind):
    """Clears the rows that name a removed user, and then removes the user. `parameters` hold `user_id`."""

    async def run_item(
        self,
        parts: TaskParts,  # noqa: ARG002
        transaction: Transaction,  # noqa: ARG002
        operation: Operation,
        item: Item,  # noqa: ARG002
    ) -> Outcome:
        """See `Kind`."""
        return in_progress(UUID(operation.parameters["user_id"]))

    async def settle(self, parts: TaskParts, operation: Operation, items: Sequence[Item]) -> Mapping[int, Outcome]:
        """Clear the next rows, and return whether the user is gone."""
        user_id = UUID(operation.parameters["user_id"])
        if await queries.is_user_there(parts.database, user_id):
            await users.remove_user(parts, user_id, Budget("user_removal", _SECONDS))
        is_there = await queries.is_user_there(parts.database, user_id)
        return {} if is_there else {item.position: DONE for item in items}
