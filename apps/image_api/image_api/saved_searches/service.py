"""The rules of saved searches."""

from typing import Any
from uuid import UUID

from image_api import audit
from image_api.actor import Actor
from image_api.http.entity_tags import check_if_match
from image_api.http.pagination import Cursor
from image_api.listing.filters.conditions import conditions
from image_api.listing.filters.pairs import Filters
from image_api.saved_searches import queries
from image_api.teams import service as teams
from image_core import errors
from image_core.db import Record, Runner, Transaction
from image_core.ids import new_id


async def list_searches(
    runner: Runner, actor: Actor, team_id: UUID | None, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the saved searches of the caller's team, or of the team that an admin names.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
    """
    return await queries.page(runner, await teams.owning_team(runner, actor, team_id), cursor, limit)


async def get_search(runner: Runner, actor: Actor, search_id: UUID) -> Record:
    """Return a saved search that the caller may see.

    Raises:
        errors.SavedSearchNotFound: There is none, or it is another team's.
    """
    return _require_found(await queries.find(runner, actor.visible_team_id, search_id))


def _require_found(found: Record | None) -> Record:
    if found is None:
        raise errors.SavedSearchNotFound
    return found


async def create_saved_search(
    transaction: Transaction,
    actor: Actor,
    team_id: UUID | None,
    values: dict[str, Any],
    filters: Filters,
    most: int | None,
) -> Record:
    """Save a search for a team that has fewer than `most`.

    Raises:
        errors.TeamNotFound, errors.TeamRequired, errors.TeamBeingRemoved.
        errors.FilterUnknown, errors.FilterInvalid: A filter does not fit the team's metadata schema.
        errors.TooManySavedSearches: The team already has the maximum.
    """
    owner_id = await teams.receiving_team(transaction, actor, team_id)
    await _check(transaction, actor, owner_id, filters)
    # Searches of a team are counted and added one request at a time.
    await teams.lock(transaction, owner_id)
    if most is not None and await queries.count(transaction, owner_id) >= most:
        detail = f"Too many saved searches: the limit is {most}. Remove one first."
        raise errors.TooManySavedSearches(detail, limit=most)
    saved = _require_found(await queries.add(transaction, owner_id, new_id(), values))
    await _record(transaction, actor, "saved_search.created", saved)
    return saved


async def change_search(
    transaction: Transaction,
    actor: Actor,
    search_id: UUID,
    patch: dict[str, Any],
    filters: Filters | None,
    if_match: str | None,
) -> Record:
    """Change the name or the query, whose filters are given.

    Raises:
        errors.SavedSearchNotFound, errors.ETagMismatch.
        errors.FilterUnknown, errors.FilterInvalid: A filter does not fit the team's metadata schema.
    """
    old = await _lock(transaction, actor, search_id, if_match)
    if filters is not None:
        await _check(transaction, actor, old["team_id"], filters)
    if not patch:
        return old
    changed = _require_found(await queries.change(transaction, old["team_id"], search_id, patch))
    # Names of fields only: a name or a filter may be personal, and audit events are retained.
    await _record(transaction, actor, "saved_search.changed", changed, {"fields": sorted(patch)})
    return changed


async def remove_search(transaction: Transaction, actor: Actor, search_id: UUID, if_match: str | None) -> None:
    """Remove a saved search.

    Raises:
        errors.SavedSearchNotFound, errors.ETagMismatch.
    """
    old = await _lock(transaction, actor, search_id, if_match)
    await queries.remove(transaction, old["team_id"], search_id)
    await _record(transaction, actor, "saved_search.removed", old)


async def _lock(transaction: Transaction, actor: Actor, search_id: UUID, if_match: str | None) -> Record:
    old = _require_found(await queries.lock(transaction, actor.visible_team_id, search_id))
    check_if_match(if_match, old["revision"])
    return old


async def _check(runner: Runner, actor: Actor, team_id: UUID, filters: Filters) -> None:
    """Check filters against the metadata schema of a team.

    Raises:
        errors.FilterUnknown, errors.FilterInvalid.
    """
    of_columns = filters.of_columns.model_copy(update={"team_id": team_id})
    await conditions(runner, actor, of_columns, filters.on_metadata, filters.on_results)


async def _record(
    transaction: Transaction, actor: Actor, action: str, row: Record, after: dict[str, Any] | None = None
) -> None:
    await audit.record(transaction, actor, action, ("saved_search", row["id"]), team_id=row["team_id"], after=after)
