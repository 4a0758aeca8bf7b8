"""The rules of teams."""

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor, require_admin
from image_api.http.entity_tags import check_if_match
from image_api.http.pagination import Cursor
from image_api.operations import service as operations
from image_api.settings import ApiSettings
from image_api.teams import queries
from image_core import errors
from image_core.billing import credits
from image_core.db import Record, Runner, Transaction, UniqueViolation
from image_core.ids import new_id
from image_core.states import LabelSource

REMOVAL = "team_removal"
"""The kind of operation that removes a team."""


class RemovedTeam(NamedTuple):
    """A team that is being removed, and the operation that shows how far it is."""

    row: Record
    operation_id: UUID


async def list_teams(runner: Runner, actor: Actor, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return all teams for an admin, and for everybody else their own."""
    return await queries.page(runner, actor.visible_team_id, cursor, limit)


async def find_teams(runner: Runner, actor: Actor, text: str, limit: int) -> list[Record]:
    """Return the teams whose name contains a text in any case, or whose id it is, by name; for an admin.

    Raises:
        errors.RoleMissing: The caller is no admin.
    """
    require_admin(actor)
    return await queries.matching(runner, text, limit)


async def team_totals(runner: Runner, actor: Actor, team_ids: Collection[UUID]) -> dict[UUID, Record]:
    """Return by team what it stores (`images`, `bytes`), its `balance` of credits, and its number of `users`.

    Raises:
        errors.RoleMissing: The caller is no admin.
    """
    require_admin(actor)
    return {row["id"]: row for row in await queries.totals(runner, team_ids)}


async def team_names(runner: Runner, actor: Actor, team_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of those of these teams that the caller may see, by id."""
    visible = [team_id for team_id in team_ids if actor.visible_team_id in (None, team_id)]
    return await queries.names(runner, visible) if visible else {}


async def get_team(runner: Runner, actor: Actor, team_id: UUID) -> Record:
    """Return a team that the caller may see.

    Raises:
        errors.TeamNotFound: The team does not exist.
    """
    found = await queries.find(runner, team_id) if actor.visible_team_id in (None, team_id) else None
    return _require_found(found)


async def count_contents(runner: Runner, actor: Actor, team_id: UUID) -> dict[str, int]:
    """Return how many images, users, usable keys and open share links a team has.

    `images` includes the trash; `images_by_default` are those outside of it that have no visibility of their own.

    Raises:
        errors.TeamNotFound: The team does not exist.
    """
    await get_team(runner, actor, team_id)
    return await queries.count_contents(runner, team_id)


async def owning_team(runner: Runner, actor: Actor, named_id: UUID | None) -> UUID:
    """Return the team that a caller means: its own, or for an admin the one named.

    Raises:
        errors.TeamRequired: The team must be named.
        errors.TeamNotFound: The team does not exist.
    """
    if not actor.is_admin and actor.team_id is not None:
        if named_id not in (None, actor.team_id):
            raise errors.TeamNotFound
        return actor.team_id
    if named_id is None:
        raise errors.TeamRequired("Team missing: admins must name a team. Send ?team_id=<id>.")
    await get_team(runner, actor, named_id)
    return named_id


async def receiving_team(runner: Runner, actor: Actor, named_id: UUID | None) -> UUID:
    """Return the team to which a caller adds something.

    Raises:
        errors.TeamRequired: The team must be named.
        errors.TeamNotFound: The team does not exist.
        errors.TeamBeingRemoved: The team is being removed.
    """
    owner_id = await owning_team(runner, actor, named_id)
    # Users of a team that is being removed are rejected earlier.
    if actor.is_admin:
        await check_not_removing(runner, actor, owner_id)
    return owner_id


async def check_not_removing(runner: Runner, actor: Actor, team_id: UUID) -> None:
    """Check that a team exists and is not being removed.

    Raises:
        errors.TeamNotFound: The team does not exist.
        errors.TeamBeingRemoved: The team is being removed.
    """
    if (await get_team(runner, actor, team_id))["deleting_at"] is not None:
        raise errors.TeamBeingRemoved("The team is being removed. Nothing can be added to it.")


async def lock(transaction: Transaction, team_id: UUID) -> Record:
    """Lock a team for the rest of the transaction.

    Raises:
        errors.TeamNotFound.
    """
    return _require_found(await queries.lock(transaction, team_id))


async def lock_for_counting(transaction: Transaction, team_id: UUID) -> None:
    """Let one request at a time count a team's rows and add to them, where it also locks the team's images.

    With `lock`, another request that has added a row of the team and waits for one of the images would never end.

    Raises:
        errors.TeamNotFound.
    """
    if not await queries.lock_for_counting(transaction, team_id):
        raise errors.TeamNotFound


def _require_found(found: Record | None) -> Record:
    if found is None:
        raise errors.TeamNotFound
    return found


async def create_team(transaction: Transaction, actor: Actor, values: dict[str, Any], settings: ApiSettings) -> Record:
    """Create a team with its credit account.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.TeamNameTaken: Another team has this name.
        errors.VisionNotEnabled: Cloud Vision is not enabled here.
    """
    require_admin(actor)
    _check_label_source(values, settings)
    try:
        created = _require_found(await queries.add(transaction, new_id(), values))
    except UniqueViolation as error:
        raise errors.TeamNameTaken(f"A team named {values['name']!r} already exists. Choose another name.") from error
    await credits.open_account(transaction, created["id"], settings.starting_credits)
    await audit.record(transaction, actor, "team.created", ("team", created["id"]), team_id=created["id"], after=values)
    return created


async def change_team(
    transaction: Transaction,
    actor: Actor,
    team_id: UUID,
    values: dict[str, Any],
    settings: ApiSettings,
    if_match: str | None,
) -> Record:
    """Change a team as given by `values`.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.TeamNotFound: The team does not exist.
        errors.TeamNameTaken: Another team has this name.
        errors.TeamBeingRemoved: The team is being removed.
        errors.ETagMismatch: The resource has changed since it was read.
        errors.VisionNotEnabled: Cloud Vision is not enabled here.
    """
    require_admin(actor)
    _check_label_source(values, settings)
    old = _require_found(await queries.lock(transaction, team_id))
    check_if_match(if_match, old["revision"])
    if old["deleting_at"] is not None:
        raise errors.TeamBeingRemoved("The team is being removed. It can no longer be changed.")
    if not values:
        return old
    try:
        new = _require_found(await queries.change(transaction, team_id, values))
    except UniqueViolation as error:
        raise errors.TeamNameTaken(f"A team named {values['name']!r} already exists. Choose another name.") from error
    before = {name: old[name] for name in values}
    await audit.record(
        transaction, actor, "team.changed", ("team", team_id), team_id=team_id, before=before, after=values
    )
    return new


def _check_label_source(values: dict[str, Any], settings: ApiSettings) -> None:
    if values.get("label_source") == LabelSource.VISION and not settings.vision_enabled:
        raise errors.VisionNotEnabled("Cloud Vision is not enabled. An operator can enable it with VISION_ENABLED.")


async def remove_team(
    transaction: Transaction,
    actor: Actor,
    team_id: UUID,
    *,
    force: bool,
    if_match: str | None,
    retention_days: int = 0,
) -> RemovedTeam | None:
    """Remove an empty team and return None; with `force` start to remove any other, and return it.

    From then on nothing that belongs to the team gives access, as every look-up sees that the team is being removed. An
    operation of the platform purges its images after `retention_days`, at most after their time in the trash, and then
    removes its users and the team. If it is cancelled, the sweep does the same after that time.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.TeamNotFound: The team does not exist.
        errors.TeamNotEmpty: The team still has images or users.
        errors.ETagMismatch: The resource has changed since it was read.
        errors.TooManyOperations: There are too many unfinished operations.
    """
    require_admin(actor)
    old = _require_found(await queries.lock(transaction, team_id))
    check_if_match(if_match, old["revision"])
    if not await queries.has_members_or_images(transaction, team_id):
        await queries.remove(transaction, team_id)
        await audit.record(transaction, actor, "team.removed", ("team", team_id), team_id=team_id)
        return None
    if not force:
        raise errors.TeamNotEmpty(
            "The team still has users or images. Remove them first, or send force=true to remove them too."
        )
    marked = old
    if old["deleting_at"] is None:
        if await queries.has_admins(transaction, team_id):
            raise errors.TeamNotEmpty("A platform admin belongs to this team. Demote or remove that user first.")
        marked = _require_found(await queries.mark_for_removal(transaction, team_id))
        await audit.record(transaction, actor, "team.removal_begun", ("team", team_id), team_id=team_id)
    return RemovedTeam(marked, await _removal(transaction, actor, marked, retention_days))


async def _removal(transaction: Transaction, actor: Actor, marked: Record, retention_days: int) -> UUID:
    """Return the operation that removes a marked team; begin one if there is none, or it was cancelled."""
    found = await operations.find_under_way(transaction, REMOVAL, "team_id", str(marked["id"]))
    if found is not None:
        return found
    about = {"team_id": str(marked["id"]), "retention_days": retention_days}
    return await operations.create(transaction, actor, REMOVAL, None, about)
