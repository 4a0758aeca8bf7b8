"""The rules of imports of many images: a bucket that is granted to the team, or a list of URLs."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from image_api.actor import Actor
from image_api.import_sources import service as import_sources
from image_api.imports import queries
from image_api.imports.schemas import NewImport
from image_api.operations import service as operations
from image_api.operations.items import NewItem
from image_api.teams import service as teams
from image_core.db import Record, Runner, Transaction

FROM_BUCKET, FROM_URLS = "import-bucket", "import-urls"
MOST_REPORTED = 1000
SECONDS_PER_IMAGE = 0.5
"""For the estimate: what processing takes, which is the longest part."""


async def import_bucket(transaction: Transaction, actor: Actor, team_id: UUID | None, new: NewImport) -> UUID:
    """Begin to copy images from a bucket, and return the operation's id.

    Raises:
        errors.SourceNotGranted: The team has no such source.
        errors.TeamNotFound, errors.TeamRequired, errors.TeamBeingRemoved.
        errors.TooManyOperations: The team has the maximum of unfinished operations.
    """
    owner_id = await teams.receiving_team(transaction, actor, team_id)
    await import_sources.get_granted(transaction, owner_id, new.source)
    return await operations.create(transaction, actor, FROM_BUCKET, owner_id, new.model_dump())


async def import_urls(transaction: Transaction, actor: Actor, team_id: UUID | None, items: Sequence[NewItem]) -> UUID:
    """Begin to import the images of a list of URLs, and return the operation's id.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.TeamBeingRemoved.
        errors.TooManyOperations: The team has the maximum of unfinished operations.
    """
    owner_id = await teams.receiving_team(transaction, actor, team_id)
    return await operations.create(
        transaction, actor, FROM_URLS, owner_id, {"lines": len(items)}, items=items,
        seconds_per_item=SECONDS_PER_IMAGE,
    )  # fmt: skip


async def list_report(runner: Runner, actor: Actor, operation_id: UUID, after_position: int) -> list[dict[str, Any]]:
    """Return what became of the next items of an import, at most `MOST_REPORTED`.

    Raises:
        errors.OperationNotFound: There is none, or it is another team's.
    """
    await operations.get_operation(runner, actor, operation_id)
    return [_line(row) for row in await queries.report(runner, operation_id, after_position, MOST_REPORTED)]


def _line(row: Record) -> dict[str, Any]:
    payload = {} if row["payload"] is None else orjson.loads(row["payload"])
    return {
        "position": row["position"],
        "source": payload.get("name") or payload.get("url"),
        "state": row["state"],
        "image_id": None if row["subject_id"] is None else str(row["subject_id"]),
        "code": row["code"],
        "detail": row["detail"],
    }
