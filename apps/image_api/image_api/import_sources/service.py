"""The rules of import sources: an admin of the platform says which buckets a team may copy images from.

The table is the permission. The account that copies may read every bucket of the table, and a caller only names a
source, never a bucket.
"""

from typing import Any
from uuid import UUID

from image_api import audit
from image_api.actor import Actor, require_admin
from image_api.http.pagination import Cursor
from image_api.import_sources import queries
from image_api.teams import service as teams
from image_core import errors
from image_core.db import Record, Runner, Transaction, UniqueViolation
from image_core.ids import new_id
from image_core.settings import ServiceSettings


def is_own_bucket(settings: ServiceSettings, bucket: str) -> bool:
    """Return whether a bucket is one of this system's, in which every team's files lie."""
    return bucket in (
        settings.image_upload_bucket_name, settings.image_derivatives_bucket_name, settings.image_scratch_bucket_name,
    )  # fmt: skip


async def list_sources(
    runner: Runner, actor: Actor, team_id: UUID | None, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the import sources of the caller's team; an admin's may be of one team or of all.

    Raises:
        errors.TeamNotFound: It is another team.
    """
    return await queries.page(runner, actor.visible_team(team_id), cursor, limit)


async def get_granted(runner: Runner, team_id: UUID, name: str) -> Record:
    """Return the source of a team with this name.

    Raises:
        errors.SourceNotGranted: The team has none, whether or not another team has.
    """
    found = await queries.find_by_name(runner, team_id, name)
    if found is None:
        raise errors.SourceNotGranted("No such source is granted to the team. A platform admin can grant it.")
    return found


async def add_source(
    transaction: Transaction, actor: Actor, settings: ServiceSettings, values: dict[str, Any]
) -> Record:
    """Let a team copy images from a bucket.

    Raises:
        errors.RoleMissing: The caller is no admin.
        errors.TeamNotFound: The team does not exist.
        errors.ImportSourceTaken: The team has a source of this name.
        errors.RequestInvalid: The bucket is one of this system's.
    """
    require_admin(actor)
    if is_own_bucket(settings, values["bucket"]):
        message = "This bucket belongs to image-manager and holds the files of every team. It cannot be a source."
        raise errors.invalid_fields([{"field": "bucket", "code": "own-bucket", "message": message}])
    await teams.get_team(transaction, actor, values["team_id"])
    try:
        added = await queries.add(transaction, new_id(), values)
    except UniqueViolation as error:
        raise errors.ImportSourceTaken("The team has an import source of this name. Use another name.") from error
    await _record(transaction, actor, "import_source.added", added)
    return added


async def remove_source(transaction: Transaction, actor: Actor, source_id: UUID) -> None:
    """Take a source from its team. Imports that are under way stop copying from it.

    Raises:
        errors.RoleMissing: The caller is no admin.
        errors.ImportSourceNotFound: There is none.
    """
    require_admin(actor)
    removed = await queries.remove(transaction, source_id)
    if removed is None:
        raise errors.ImportSourceNotFound
    await _record(transaction, actor, "import_source.removed", removed)


async def _record(transaction: Transaction, actor: Actor, action: str, row: Record) -> None:
    about = {name: row[name] for name in ("name", "bucket", "prefix")}
    before, after = (about, None) if action.endswith("removed") else (None, about)
    target = ("import_source", row["id"])
    await audit.record(transaction, actor, action, target, team_id=row["team_id"], before=before, after=after)
