"""An operation of 100,000 items that do nothing, beside the same statements by hand; memory on the way.

    uv run --frozen python -m benchmarks.operations [--items 100000]

Both sides use one connection of a durable PostgreSQL, and a transaction for each item that holds the operation and
marks the item. The operation also finds and claims its items, counts them and ends.
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
from image_core import testing
from image_core.db import Database, DatabaseConfig, Transaction, migration_engine
from image_core.ids import new_id
from image_core.migrations import runner
from image_core.models import operation
from local_cloud.postgres.database import prepare_database
from local_cloud.postgres.server import PostgresServer

_CHUNK = 1000


class _NoOp(Kind):
    """Finds as many items as its parameters say, and does nothing with each."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []

    async def fill(self, parts: TaskParts, operation: Operation) -> Filled:  # noqa: ARG002
        last = operation.parameters["items"]
        following = min(operation.total + _CHUNK, last)
        items = [NewItem(new_id()) for _ in range(operation.total, following)]
        return Filled(items, following if following < last else None)

    async def run_item(self, parts: TaskParts, transaction: Transaction, operation: Operation, item: Item) -> Outcome:  # noqa: ARG002
        if item.position % (operation.total // 10) == 0:
            self.megabytes.append(resident_bytes(os.getpid()) / 2**20)
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


async def _run(database: Database, items: int) -> tuple[float, float, list[float]]:
    """Return items a second while they were found and while they were run, and megabytes on the way."""
    parts = TaskParts(
        settings=cast("Any", None), database=database, originals=cast("Any", None), derivatives=cast("Any", None),
        publisher=_Publisher(), issuer_keys=cast("Any", None), locks=cast("Any", None),
        open_bucket=cast("Any", None), fetcher=cast("Any", None),
    )  # fmt: skip
    kind = _NoOp()
    operation_id = await _begin(database, items)
    step = operations.step({"no-op": kind})
    started = time.perf_counter()
    while await _status(database, operation_id) == ("estimating", 0):
        await step(parts, Budget("operations", 0))
    found = time.perf_counter()
    await step(parts, Budget("operations", 3600))
    took = time.perf_counter() - found
    if (over := await _status(database, operation_id)) != ("succeeded", items):
        raise SystemExit(f"The operation is over: {over}.")
    return items / (found - started), items / took, kind.megabytes


async def _by_hand(database: Database, url: str, items: int) -> float:
    """Return how many items a second the same transactions take when asyncpg is told them by hand."""
    operation_id = await _begin(database, items)
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE operation SET status = 'running' WHERE id = $1", operation_id)
    await connection.execute(
        "INSERT INTO operation_item (operation_id, position) SELECT $1, generate_series(1, $2::int)",
        operation_id,
        items,
    )
    hold = await connection.prepare("SELECT FROM operation WHERE id = $1 AND status = 'running' FOR SHARE")
    mark = await connection.prepare(
        "UPDATE operation_item SET state = 'done' WHERE operation_id = $1 AND position = $2 AND state = 'waiting'"
    )
    started = time.perf_counter()
    for position in range(1, items + 1):
        async with connection.transaction():
            await hold.fetchrow(operation_id)
            await mark.fetch(operation_id, position)
    took = time.perf_counter() - started
    await connection.execute("DELETE FROM operation WHERE id = $1", operation_id)
    await connection.close()
    return items / took


async def _measure(url: str, items: int) -> None:
    database = Database(DatabaseConfig(url=url, pool_size=4, acquire_timeout_seconds=30))
    await database.open()
    by_hand = await _by_hand(database, url, items // 10)
    found, ran, megabytes = await _run(database, items)
    await database.close()
    print(f"{items:,} items: found {found:,.0f}/s, run {ran:,.0f}/s; by hand {by_hand:,.0f}/s ({ran / by_hand:.2f})")
    print("resident memory at each tenth:", " ".join(f"{each:.0f}" for each in megabytes), "MiB")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=100_000)
    options = parser.parse_args()
    print(describe("asyncpg"))
    with tempfile.TemporaryDirectory(prefix="image-manager-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "postgres")
        server.start()
        try:
            urls = prepare_database(server, Path(folder) / "postgres")
            runner.upgrade(migration_engine(DatabaseConfig(url=urls.owner)))
            asyncio.run(_measure(urls.owner, options.items))
        finally:
            server.remove()


if __name__ == "__main__":
    main()
