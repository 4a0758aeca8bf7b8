"""The rules of near-duplicates: which images form a group, which one to keep, and which pairs were decided."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor
from image_api.duplicates import queries
from image_api.duplicates.groups import connected_components
from image_api.http.pagination import Cursor
from image_api.teams import service as teams
from image_core import errors
from image_core.db import Record, Runner, Transaction

MAX_GROUP_IMAGES = 100
"""The maximum number of images shown of a group."""

# Each page examines this many images that are the newer ones of a pair, and reaches this many from there: a huge group
# is shown in parts and does not block anything.
_LOOKED_AT, _REACHED = 500, 2_500
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Page(NamedTuple):
    """Groups, the one with the newest image first, and where the next page begins."""

    groups: list[dict[str, Any]]
    next_cursor: str | None


async def list_duplicates(
    runner: Runner,
    actor: Actor,
    team_id: UUID | None,
    *,
    max_distance: int,
    cursor: Cursor | None,
    limit: int,
    image_id: UUID | None = None,
) -> Page:
    """Return a page of groups: images of one team that are linked by undecided pairs; only the one with `image_id`.

    Raises:
        errors.TeamRequired: The team must be named.
        errors.TeamNotFound: The team does not exist.
    """
    owner_id = await teams.owning_team(runner, actor, team_id)
    if image_id is not None:
        return Page(await _group_of(runner, owner_id, max_distance, image_id), None)
    before = cursor.row_id if cursor else None
    return await find_groups(runner, owner_id, max_distance, before, limit)


async def find_groups(runner: Runner, team_id: UUID, max_distance: int, before: UUID | None, limit: int) -> Page:
    """Return a team's groups whose newest image is older than `before`; null means all."""
    newest = await queries.newest(runner, team_id, max_distance, before, _LOOKED_AT + 1)
    seeds = newest[:_LOOKED_AT]
    pairs = await queries.pairs_around(runner, team_id, max_distance, seeds, _REACHED)
    # A group is listed at its newest image; if that is not among these, the group was on an earlier page.
    looked_at = set(seeds)
    groups = [group for group in connected_components((row[0], row[1]) for row in pairs) if max(group) in looked_at]
    groups.sort(key=max, reverse=True)
    shown = groups[:limit]
    bodies = await _bodies(runner, team_id, shown, pairs)
    last = max(shown[-1]) if len(groups) > limit else seeds[-1] if len(newest) > _LOOKED_AT else None
    return Page(bodies, Cursor(_NEVER, last).encode() if last else None)


async def _group_of(runner: Runner, team_id: UUID, max_distance: int, image_id: UUID) -> list[dict[str, Any]]:
    """Return the group of an image, or nothing."""
    pairs = await queries.pairs_around(runner, team_id, max_distance, [image_id], _REACHED)
    groups = connected_components((row[0], row[1]) for row in pairs)
    return await _bodies(runner, team_id, [group for group in groups if image_id in group], pairs)


async def _bodies(
    runner: Runner, team_id: UUID, groups: Sequence[set[UUID]], pairs: Sequence[Record]
) -> list[dict[str, Any]]:
    """Return groups with what is shown of their images. An image that was purged in the meantime is omitted."""
    ids = {image_id for group in groups for image_id in _first(group)}
    images = {row["id"]: row for row in await queries.summaries(runner, team_id, ids)}
    return [body for group in groups if (body := _group(group, pairs, images))["images"]]


def _first(group: set[UUID]) -> list[UUID]:
    return sorted(group)[:MAX_GROUP_IMAGES]


def _group(group: set[UUID], pairs: Sequence[Record], images: dict[UUID, Record]) -> dict[str, Any]:
    shown = {image_id: images[image_id] for image_id in _first(group) if image_id in images}
    oldest_first = sorted(shown.values(), key=lambda row: (row["created_at"], row["id"]))
    largest = max(oldest_first, key=lambda row: row["width"] * row["height"], default=None)
    return {
        "images": oldest_first,
        "image_count": len(group),
        "keep_image_id": largest and largest["id"],
        "distances": [
            {"image_ids": (row["image_id_a"], row["image_id_b"]), "distance": row["distance"]}
            for row in pairs
            if row["image_id_a"] in shown and row["image_id_b"] in shown
        ],
    }


async def decide(transaction: Transaction, actor: Actor, image_ids: Sequence[UUID]) -> tuple[Record, bool]:
    """Record that two images are not duplicates; return the decision, and whether it is new.

    Raises:
        errors.ImageNotFound: The image does not exist.
    """
    first, second = sorted(image_ids)
    found = await queries.lock_images(transaction, actor.visible_team_id, (first, second))
    owners = {row["team_id"] for row in found}
    if len(found) != 2 or len(owners) != 1:
        raise errors.ImageNotFound("Both images must exist and belong to the same team.")
    owner_id: UUID = owners.pop()
    new = await queries.decide(transaction, owner_id, (first, second), actor.user_id)
    if new is None:
        old = await queries.find_decision(transaction, owner_id, (first, second))
        if old is None:
            raise errors.ImageNotFound("One of the images is being removed. Decisions need two existing images.")
        return old, False
    await _record(transaction, actor, "duplicate.decided", new)
    return new, True


async def undo(transaction: Transaction, actor: Actor, decision_id: UUID) -> None:
    """Remove a decision.

    Raises:
        errors.DecisionNotFound: The decision does not exist.
    """
    row = await queries.undo(transaction, actor.visible_team_id, decision_id)
    if row is None:
        raise errors.DecisionNotFound
    await _record(transaction, actor, "duplicate.undecided", row)


async def _record(transaction: Transaction, actor: Actor, action: str, row: Record) -> None:
    image_ids = [str(row["image_id_a"]), str(row["image_id_b"])]
    target = ("duplicate_decision", row["id"])
    await audit.record(transaction, actor, action, target, team_id=row["team_id"], after={"image_ids": image_ids})


async def list_decisions(
    runner: Runner, actor: Actor, team_id: UUID | None, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return decisions of a team, newest first.

    Raises:
        errors.TeamRequired: The team must be named.
        errors.TeamNotFound: The team does not exist.
    """
    owner_id = await teams.owning_team(runner, actor, team_id)
    return await queries.page_of_decisions(runner, owner_id, cursor, limit)
