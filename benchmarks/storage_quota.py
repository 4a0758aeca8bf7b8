"""Rows of uploads with the storage counter beside the same without it: one team, 1 and 32 uploads at once.

    uv run --frozen python -m benchmarks.storage_quota [--uploads 2000]

An upload is its two statements, the row before the object and its completion, in a durable PostgreSQL. The bytes are
left out: the counter is not locked while they travel.
"""

import argparse
import asyncio
import hashlib
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from benchmarks.machine import describe
from image_api.uploads import queries as upload_queries
from image_core import testing
from image_core.billing.storage_quota import StorageQuota
from image_core.db import Database, DatabaseConfig, migration_engine
from image_core.ids import new_id
from image_core.migrations import runner
from local_cloud.postgres.database import prepare_database
from local_cloud.postgres.server import PostgresServer

_PLENTY = StorageQuota(2**50, 2**50)
_SIDES = {"uncounted": None, "counted": StorageQuota(None, None), "with a quota": _PLENTY}


async def _upload(database: Database, team_id: UUID, user_id: UUID, quota: StorageQuota) -> None:
    image_id = new_id()
    await upload_queries.add_pending(
        database, image_id, team_id, user_id, f"originals/{image_id}", "image/png", "png", None,
        timedelta(minutes=5), 1000, quota,
    )  # fmt: skip
    await upload_queries.complete(
        database, image_id, new_size_bytes=900, new_sha256=hashlib.sha256(image_id.bytes).digest(), new_generation=1,
        new_filename=None, new_tags=[], new_metadata="{}",
    )  # fmt: skip


async def _per_second(url: str, quota: StorageQuota, count: int, at_once: int) -> float:
    database = Database(DatabaseConfig(url=url, pool_size=32, acquire_timeout_seconds=30))
    await database.open()
    team_id = await testing.add_team(database)
    user = await testing.add_user(database, team_id)
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await _upload(database, team_id, user.user_id, quota)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
    took = time.perf_counter() - started
    await database.close()
    return count / took


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--uploads", type=int, default=2000)
    options = parser.parse_args()
    print(describe("asyncpg"))
    with tempfile.TemporaryDirectory(prefix="image-manager-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "postgres")
        server.start()
        try:
            urls = prepare_database(server, Path(folder) / "postgres")
            engine = migration_engine(DatabaseConfig(url=urls.owner))
            runner.upgrade(engine)
            for at_once in (1, 32):
                rates = {}
                for name, quota in _SIDES.items():
                    with engine.begin() as connection:
                        able = "DISABLE" if quota is None else "ENABLE"
                        connection.execute(text(f"ALTER TABLE image {able} TRIGGER USER"))
                    rates[name] = asyncio.run(
                        _per_second(urls.api, quota or StorageQuota(None, None), options.uploads, at_once)
                    )
                shown = "   ".join(
                    f"{name} {rate:5.0f}/s ({rate / rates['uncounted']:.2f})" for name, rate in rates.items()
                )
                print(f"{at_once:2} at once   {shown}")
        finally:
            server.remove()


if __name__ == "__main__":
    main()
