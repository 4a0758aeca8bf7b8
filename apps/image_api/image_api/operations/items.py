"""Operations and their items, as plain values."""

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from image_api.actor import Actor, Role
from image_core import errors
from image_core.db import Record
from image_core.states import ItemState, OperationStatus

MOST_NAMED_IMAGES = 10_000
"""Maximum number of images that a request for an operation names by their ids."""


class NewItem(NamedTuple):
    """An item to add, with what it adds to the estimate: an image, or any JSON as `payload`."""

    image_id: UUID | None = None
    payload: Any = None
    size_bytes: int = 0
    credits: int = 0


@dataclass(frozen=True)
class Operation:
    """An operation under way.

    Attributes:
        id: its id.
        team_id: the team; null for work on the whole platform.
        kind: name of the kind.
        status: status at the beginning of this turn.
        parameters: what was asked for, as the kind stored it.
        fill_position: `Filled.position` of the chunk before; null before the first.
        total: number of items found so far.
        budget: credits that it may spend; null for no limit.
        actor: who asked for it, with the role and the scopes of that time.
    """

    id: UUID
    team_id: UUID | None
    kind: str
    status: OperationStatus
    parameters: dict[str, Any]
    fill_position: Any
    total: int
    budget: int | None
    actor: Actor

    @property
    def owner_id(self) -> UUID:
        """The team, for kinds whose work is of one.

        Raises:
            errors.TeamRequired: The operation is of the whole platform.
        """
        if self.team_id is None:
            raise errors.TeamRequired
        return self.team_id

    @property
    def visible_team_id(self) -> UUID | None:
        """The team to which its queries are restricted; null means all teams, for an admin's."""
        return self.team_id or self.actor.visible_team_id


def from_row(row: Record) -> Operation:
    """Return the operation of a row whose user is known."""
    actor = Actor(
        user_id=row["user_id"], user_name="", team_id=row["team_id"], role=Role(row["role"]),
        scopes=frozenset(row["scopes"]), credential_id=row["credential_id"], key_prefix=None, key_expires_at=None,
        is_default_key=False, session_id=row["session_id"],
    )  # fmt: skip
    position = row["fill_position"]
    return Operation(
        row["id"], row["team_id"], row["kind"], OperationStatus(row["status"]), orjson.loads(row["parameters"]),
        None if position is None else orjson.loads(position), row["total"], row["budget_credits"], actor,
    )  # fmt: skip


@dataclass(frozen=True)
class Item:
    """An item of an operation.

    Attributes:
        position: its place in the operation, from 1; a line's number. With the operation's id it is the idempotency key
            of effects outside the database.
        image_id: the image; null if the item is something else.
        payload: the JSON of `NewItem`.
        subject_id: of an item in progress, what `in_progress` named.
        prepared: what the kind's `prepare` returned.
    """

    position: int
    image_id: UUID | None = None
    payload: Any = None
    subject_id: UUID | None = None
    prepared: Any = None


class Outcome(NamedTuple):
    """What became of an item. `credits` is what the team has paid for it."""

    state: ItemState
    code: str | None = None
    detail: str | None = None
    credits: int = 0
    subject_id: UUID | None = None


DONE = Outcome(ItemState.DONE)


def failed(error: errors.AppError) -> Outcome:
    """Return the outcome of an item that an error prevents."""
    return Outcome(ItemState.FAILED, error.code, error.detail or f"{error.title()}.")


def in_progress(subject_id: UUID, credits: int = 0) -> Outcome:
    """Return the outcome of an item that is over when an analysis, an image or another subject is."""
    return Outcome(ItemState.IN_PROGRESS, subject_id=subject_id, credits=credits)
