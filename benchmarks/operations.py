"""An operation of 100,000 items that do nothing, beside the same statements by hand; memory on the way.

    uv run --frozen python -m benchmarks.operations [--items 100000] [--events]

Both sides use one connection of a durable PostgreSQL, and a transaction for each item that holds the operation and
marks the item; with `--events` it also writes an event, which is published and marked as published. The operation also
finds and claims its items, counts them and ends. Both take turns, so that both see the same machine.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import asyncpg
from sqlalchemy import select

from benchmarks.machine import describe, resident_bytes
from image_api.actor import Actor, Role
from image_api.operations import service
from image_api.operations import tasks as operations
from image_api.operations.items import DONE, Item, NewItem, Operation, Outcome
from image_api.operations.kinds import Filled, Kind
from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget
from image_core import events, testing
from image_core.db import Database, DatabaseConfig, Transaction, migration_engine, to_json
from image_core.events import EventType
from image_core.ids import new_id
from image_core.migrations import runner
from image_core.models import operation
from local_cloud.postgres.database import prepare_database
from local_cloud.postgres.server import PostgresServer

_CHUNK, _CLAIMED = 1000, 100
_ROUND_SECONDS, _BY_HAND = 5.0, 100
_DATA = {"month": "2026-01", "used_bytes": 1, "quota_bytes": 2}


class _NoOp(Kind):
    """Finds as many items as its parameters say, and does nothing with each."""

    def __init__(self, with_events: bool) -> None:
        self.with_events = with_events
        self.megabytes: list[float] = []

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:  # noqa: ARG002
        last = operation.parameters["items"]
        following = min(operation.total + _CHUNK, last)
        items = [NewItem(new_id()) for _ in range(operation.total, following)]
        return Filled(items, following if following < last else None)

    async def run_item(self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item) -> Outcome:  # noqa: ARG002
        if item.position % (operation.total // 10) == 0:
            self.megabytes.append(resident_bytes(os.getpid()) / 2**20)
        if self.with_events:
            await events.record(transaction, events.team_event(EventType.DELIVERY_QUOTA_LOW, operation.team_id, _DATA))
        return DONE


class _Publisher:
    """Messages go nowhere."""

    async def publish(self, topic: Any, messages: Any, timeout_seconds: float) -> None:
        """Do nothing."""


async def _begin(database: Database, items: int) -> UUID:
    team_id = await testing.add_team(database)
    user = await testing.add_user(database, team_id)
    actor = Actor(user.user_id, "", team_id, Role.MEMBER, frozenset(), None, None, None, is_default_key=False)
    async with database.transaction() as transaction:
        return await service.create(transaction, actor, "no-op", team_id, {"items": items})


async def _status(database: Database, operation_id: UUID) -> tuple[str, int]:
    row = await database.fetch_one(select(operation).where(operation.c.id == operation_id))
    return ("gone", 0) if row is None else (row["status"], row["done"])


class _ByHand:
    """The same transactions, as asyncpg is told them by hand."""

    def __init__(self, connection: Any, with_events: bool) -> None:
        self.connection, self.with_events = connection, with_events
        self.items, self.seconds = 0, 0.0

    async def begin(self, operation_id: UUID, items: int) -> None:
        """Add the items."""
        self.operation_id = operation_id
        await self.connection.execute(
            "UPDATE operation SET status = 'running', kind = 'by hand' WHERE id = $1", operation_id
        )
        add = "INSERT INTO operation_item (operation_id, position) SELECT $1, generate_series(1, $2::int)"
        await self.connection.execute(add, operation_id, items)
        prepare = self.connection.prepare
        self.hold = await prepare("SELECT FROM operation WHERE id = $1 AND status = 'running' FOR SHARE")
        mark = (
            "UPDATE operation_item SET state = 'done' WHERE operation_id = $1 AND position = $2 AND state = 'waiting'"
        )
        self.mark = await prepare(mark)
        self.tell = await prepare(
            "INSERT INTO event (id, topic, type, payload, created_at)"
            " VALUES ($1, 'events', 'delivery.quota_low', $2, now())"
        )
        self.published = await prepare("UPDATE event SET published_at = now() WHERE id = ANY($1)")

    async def run(self, items: int) -> None:
        """Do as many items more."""
        started, told = time.perf_counter(), []
        for _ in range(items):
            self.items += 1
            async with self.connection.transaction():
                await self.hold.fetchrow(self.operation_id)
                if self.with_events:
                    told.append(new_id())
                    await self.tell.fetch(told[-1], to_json(_DATA))
                await self.mark.fetch(self.operation_id, self.items)
            if len(told) == _CLAIMED:
                await self.published.fetch(told)
                told = []
        self.seconds += time.perf_counter() - started


async def _run(database: Database, by_hand: _ByHand, items: int, with_events: bool) -> tuple[float, float, list[float]]:
    """Return items a second while they were found and while they were run, and megabytes on the way."""
    parts = TaskParts(
        settings=cast("Any", None), database=database, originals=cast("Any", None), derivatives=cast("Any", None),
        publisher=_Publisher(), issuer_keys=cast("Any", None), locks=cast("Any", None),
        open_bucket=cast("Any", None), fetcher=cast("Any", None),
    )  # fmt: skip
    kind = _NoOp(with_events)
    operation_id = await _begin(database, items)
    step = operations.step({"no-op": kind})
    started = time.perf_counter()
    while (await _status(database, operation_id))[0] == "estimating":
        await step(parts, Budget("operations", 0))
    found = time.perf_counter() - started
    took = 0.0
    while (await _status(database, operation_id))[0] == "running":
        started = time.perf_counter()
        await step(parts, Budget("operations", _ROUND_SECONDS))
        took += time.perf_counter() - started
        await by_hand.run(_BY_HAND)
    if (over := await _status(database, operation_id)) != ("succeeded", items):
        raise SystemExit(f"The operation is over: {over}.")
    return items / found, items / took, kind.megabytes


async def _measure(url: str, items: int, with_events: bool) -> None:
    database = Database(DatabaseConfig(url=url, pool_size=4, acquire_timeout_seconds=30))
    await database.open()
    connection = await asyncpg.connect(url)
    by_hand = _ByHand(connection, with_events)
    await by_hand.begin(await _begin(database, items), items)
    found, ran, megabytes = await _run(database, by_hand, items, with_events)
    rate = by_hand.items / by_hand.seconds
    print(f"{items:,} items: found {found:,.0f}/s, run {ran:,.0f}/s; by hand {rate:,.0f}/s ({ran / rate:.2f})")
    print("resident memory at each tenth:", " ".join(f"{each:.0f}" for each in megabytes), "MiB")
    await connection.close()
    await database.close()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--events", action="store_true", help="write an event for each item")
    options = parser.parse_args()
    print(describe("asyncpg"))
    with tempfile.TemporaryDirectory(prefix="image-manager-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "postgres")
        server.start()
        try:
            urls = prepare_database(server, Path(folder) / "postgres")
            runner.upgrade(migration_engine(DatabaseConfig(url=urls.owner)))
            asyncio.run(_measure(urls.owner, options.items, options.events))
        finally:
            server.remove()


if __name__ == "__main__":
    main()
