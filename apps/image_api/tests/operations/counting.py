"""Kinds for tests, whose effects are rows of the audit log, and operations of these kinds."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import insert, select

from image_api.actor import Actor, Role, Scope
from image_api.operations import service
from image_api.operations import tasks as operations
from image_api.operations.items import DONE, Item, NewItem, Operation, Outcome, in_progress
from image_api.operations.kinds import Filled, Kind
from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget
from image_core import errors, events, models, testing
from image_core.billing import credits
from image_core.db import Record, Transaction, to_json
from image_core.events import EventType
from image_core.ids import new_id

from ..housekeeping import Tasks

Reached = Callable[[str, int], Awaitable[None] | None]


class Dies(BaseException):
    """The worker is killed here."""


def dies_at(step: str, position: int) -> Reached:
    """Kill the worker, once, when an item has got to a step."""
    left = [True]

    def reached(at: str, item: int) -> None:
        if (at, item) == (step, position) and left.pop() is True:
            left.append(False)
            raise Dies
        left[:] = left or [False]

    return reached


@dataclass
class Counting(Kind):
    """Writes an audit row for each item. `reached` is told each step before it is done, and may raise or wait."""

    reached: Reached = lambda _step, _position: None
    price: int = 0
    tells: bool = False
    """Whether each item has an event."""
    refuses: frozenset[int] = frozenset()
    over: set[int] | None = None
    """Items that are in progress until their position is in here; null for items that are done at once."""
    order: list[tuple[UUID, int]] = field(default_factory=list)

    async def _reach(self, step: str, position: int) -> None:
        if (waiting := self.reached(step, position)) is not None:
            await waiting

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:
        first, last = operation.fill_position or 0, operation.parameters["items"]
        await self._reach("fill", first)
        following = min(first + 3, last)
        items = [NewItem(payload={"number": n}, size_bytes=10, credits=self.price) for n in range(first, following)]
        return Filled(items, following if following < last else None)

    async def prepare(self, parts: TaskParts, operation: Operation, item: Item) -> None:
        await self._reach("prepare", item.position)

    async def run_item(self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item) -> Outcome:
        await self._reach("effect", item.position)
        if item.position in self.refuses:
            raise errors.DuplicateExists("There is one already.")
        self.order.append((operation.id, item.position))
        row = {"id": new_id(), "action": "counted", "target_type": "item", "target_id": operation.id}
        after = to_json({"position": item.position})
        await transaction.execute(insert(models.audit_event).values(**row, after=after))
        if self.price and operation.team_id:
            await credits.reserve(transaction, operation.team_id, self.price, "counted")
        if self.tells:
            low = {"month": "2026-01", "used_bytes": 1, "quota_bytes": 2}
            await events.record(transaction, events.team_event(EventType.DELIVERY_QUOTA_LOW, operation.team_id, low))
        await self._reach("mark", item.position)
        if self.over is not None:
            return in_progress(operation.id, self.price)
        return DONE._replace(credits=self.price)

    async def settle(self, parts: TaskParts, operation: Operation, items: Sequence[Item]) -> Mapping[int, Outcome]:
        return {item.position: DONE for item in items if item.position in (self.over or ())}


def actor_of(user_id: UUID, team_id: UUID | None, role: Role = Role.MEMBER, credential_id: UUID | None = None) -> Actor:
    """Return a caller with the scope to change images."""
    scopes = frozenset({Scope.IMAGES_WRITE})
    return Actor(user_id, "Somebody", team_id, role, scopes, credential_id, None, None, is_default_key=False)


@dataclass
class Operations:
    """Operations of tests, and the worker that runs them."""

    tasks: Tasks

    async def begin(self, items: int, *, team_id: UUID | None = None, given: bool = False, **asked: Any) -> UUID:
        """Begin an operation that finds its items, three at a time, or is given them."""
        team_id = team_id or await testing.add_team(self.tasks.rows)
        user = await testing.add_user(self.tasks.rows, team_id)
        known = [NewItem(payload={"number": n}) for n in range(items)] if given else None
        async with self.tasks.rows.transaction() as transaction:
            return await service.create(
                transaction,
                actor_of(user.user_id, team_id, credential_id=user.credential_id),
                "counting",
                team_id,
                {"items": items},
                items=known,
                **asked,
            )

    async def run(self, kind: Kind, seconds: float = 30) -> int:
        """Run what there is as one tick does."""
        return await operations.step({"counting": kind})(self.tasks.parts, Budget("operations", seconds))

    async def cancel(self, operation_id: UUID) -> Record:
        row = await self.row(operation_id)
        async with self.tasks.rows.transaction() as transaction:
            return await service.cancel(transaction, actor_of(row["user_id"], row["team_id"]), operation_id)

    async def row(self, operation_id: UUID) -> Record:
        found = await self.tasks.rows.fetch_one(select(models.operation).where(models.operation.c.id == operation_id))
        assert found is not None
        return found

    async def counts(self, operation_id: UUID) -> tuple[str, int, int, int]:
        """Status, number of items, and how many of them are done and failed."""
        row = await self.row(operation_id)
        return row["status"], row["total"], row["done"], row["failed"]

    async def effects(self, operation_id: UUID) -> Counter[int]:
        """How often each item has had its effect."""
        statement = select(models.audit_event.c.after).where(
            models.audit_event.c.target_id == operation_id, models.audit_event.c.action == "counted"
        )
        rows = await self.tasks.rows.fetch(statement)
        return Counter(orjson.loads(row["after"])["position"] for row in rows)

    async def told(self, operation_id: UUID) -> list[tuple[str, str]]:
        """Type and status of each event about it, oldest first."""
        table = models.event.c
        about = table.payload["operation_id"].as_string() == str(operation_id)
        rows = await self.tasks.rows.fetch(select(models.event).where(about).order_by(table.created_at, table.id))
        return [(row["type"], orjson.loads(row["payload"])["status"]) for row in rows]
