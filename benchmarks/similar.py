"""Images that look alike, out of a million: recall and time of the search by vectors, and of the look-up by hash.

    uv run --frozen python -m benchmarks.similar [--rows 1000000] [--queries 200] [--pages 3000]

A throw-away PostgreSQL that waits for no disk gets vectors as descriptors are: unit vectors in clusters of clusters.
All but 21,000 are of one team, 20,000 and 1,000 of two others, spread among them. Each search is asked as the API asks
it, by the role of the API, and compared with the exact one. Then come pages of groups, look-ups by hash, and what the
processor stores of an image.
"""

import argparse
import asyncio
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np

from benchmarks.machine import describe
from image_api.duplicates.service import groups_of
from image_api.http.pagination import decode_cursor
from image_api.similarity.queries import EXACT_ROWS, Subject, nearest, nearest_query
from image_core.db import Database, DatabaseConfig, migration_engine
from image_core.images.similarity import DESCRIPTOR_DIMENSIONS, DESCRIPTOR_MODEL, MAX_HASH_DISTANCE
from image_core.migrations import runner
from image_processor.images.queries import Claim
from image_processor.images.similarity import find_near, store
from local_cloud.postgres.database import DATABASE, prepare_database
from local_cloud.postgres.server import PostgresServer

TEAMS = {"all but 21,000": UUID(int=1), "20,000 of them": UUID(int=2), "1,000 of them": UUID(int=3)}
SMALLER = {UUID(int=2): 20_000, UUID(int=3): 1_000}
NEAREST = 10
_BATCH = 50_000
_INDEX = "ix_image_vector_descriptor"


def image_id(number: int) -> UUID:
    """The id of an image, so that the newest have the largest."""
    return UUID(int=0x0199 << 112 | number)


def vectors(rows: int, random: np.random.Generator) -> Iterator[Any]:
    """Batches of unit vectors: subjects, scenes of a subject, pictures of a scene."""
    subjects = random.normal(size=(200, DESCRIPTOR_DIMENSIONS))
    scenes = subjects[random.integers(0, 200, 20_000)] + 0.6 * random.normal(size=(20_000, DESCRIPTOR_DIMENSIONS))
    for first in range(0, rows, _BATCH):
        count = min(_BATCH, rows - first)
        made = scenes[random.integers(0, 20_000, count)] + 0.25 * random.normal(size=(count, DESCRIPTOR_DIMENSIONS))
        yield (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def team_of(number: int, rows: int) -> UUID:
    """Spread over the table, as images of many teams are."""
    for team_id, count in SMALLER.items():
        if number % (rows // count) == team_id.int - 2:
            return team_id
    return UUID(int=1)


def _copied(batch: Any, first: int, rows: int) -> Iterator[tuple[Any, ...]]:
    for offset, numbers in enumerate(batch):
        number = first + offset
        # halfvec's own binary form: dimensions, nothing, and each number in half precision.
        packed = struct.pack(">HH", DESCRIPTOR_DIMENSIONS, 0) + numbers.astype(">f2").tobytes()
        yield image_id(number), DESCRIPTOR_MODEL, team_of(number, rows), packed


async def fill(connection: Any, rows: int) -> None:
    """Images, vectors and hashes, then the index; prints what the index took."""
    await connection.set_type_codec("halfvec", encoder=bytes, decoder=bytes, schema="public", format="binary")
    await connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '2GB'")
    definition = await connection.fetchval(f"SELECT pg_get_indexdef('{_INDEX}'::regclass)")
    await connection.execute(f"DROP INDEX {_INDEX}")
    random, first = np.random.default_rng(7), 0
    for batch in vectors(rows, random):
        columns = ["image_id", "model", "team_id", "vector"]
        await connection.copy_records_to_table("image_vector", records=_copied(batch, first, rows), columns=columns)
        hashes = random.integers(-(2**63), 2**63, len(batch))
        records = [
            (image_id(first + offset), team_of(first + offset, rows), int(each)) for offset, each in enumerate(hashes)
        ]
        await connection.copy_records_to_table("image_hash", records=records, columns=["image_id", "team_id", "hash"])
        first += len(batch)
    await connection.execute(
        "INSERT INTO image (id, team_id, status, content_type, format, object_name, generation, size_bytes, sha256,"
        " width, height, frames, ready_at) SELECT image_id, team_id, 'ready', 'image/jpeg', 'jpeg', image_id, 1, 1,"
        " sha256(image_id::text::bytea), 4, 3, 1, now() FROM image_vector"
    )
    started = time.perf_counter()
    await connection.execute(definition)
    seconds = time.perf_counter() - started
    sizes = "SELECT pg_relation_size($1::regclass) / 1e6"
    index, table = [await connection.fetchval(sizes, name) for name in (_INDEX, "image_vector")]
    print(f"{rows:,} vectors: the index in {seconds:.0f} s, {index:.0f} MB beside {table:.0f} MB of rows", flush=True)
    for name in ("image", "image_vector", "image_hash"):
        await connection.execute(f"VACUUM ANALYZE {name}")


def _spread(seconds: list[float]) -> str:
    each = np.array(seconds) * 1000
    return f"median {np.median(each):.1f} ms, 99th percentile {np.percentile(each, 99):.1f} ms"


async def measure_search(database: Database, connection: Any, where: str, team_id: UUID, queries: int) -> None:
    """Recall of the nearest ten against all, and the time of each search."""
    sample = "SELECT image_id FROM image_vector WHERE team_id = $1 ORDER BY uuid_hash(image_id) LIMIT $2"
    chosen = [row[0] for row in await connection.fetch(sample, team_id, queries)]
    exact = nearest_query(DESCRIPTOR_MODEL, DESCRIPTOR_DIMENSIONS, exact=True)
    found, took, exactly = 0, [], []
    for each in chosen:
        subject = Subject(team_id, each, DESCRIPTOR_MODEL, DESCRIPTOR_DIMENSIONS)
        started = time.perf_counter()
        rows = await nearest(database, subject, NEAREST, 2.0, "")
        asked = time.perf_counter()
        values = {"team_id": team_id, "image_id": each, "limit": NEAREST, "max_distance": 2.0}
        wanted = await database.fetch(exact, **values)
        took.append(asked - started)
        exactly.append(time.perf_counter() - asked)
        found += len({row["id"] for row in rows} & {row["id"] for row in wanted})
    recall = found / (NEAREST * len(chosen))
    print(f"{where}: {len(chosen)} searches, recall@{NEAREST} {recall:.4f}, {_spread(took)}", end="; ")
    print(f"exact: {_spread(exactly)}", flush=True)


async def measure_hashes(database: Database, connection: Any, team_id: UUID, queries: int) -> None:
    """The time of looking for near hashes, each of them one that is there with three bits changed."""
    rows = await connection.fetch("SELECT image_id, hash FROM image_hash WHERE team_id = $1 LIMIT $2", team_id, queries)
    took, found = [], 0
    for row in rows:
        value = (row["hash"] % 2**64) ^ 0x0001_0000_0100_0010
        started = time.perf_counter()
        near = await find_near(database, team_id, UUID(int=0), value)
        took.append(time.perf_counter() - started)
        found += row["image_id"] in {each["image_id"] for each in near}
    print(f"hashes: {len(rows)} look-ups, {found} found again, {_spread(took)}", flush=True)


async def fill_pairs(connection: Any, rows: int) -> None:
    """Every tenth image of the large team is near to the one before it, and a burst of 3,000 to the fifty before."""
    await connection.execute(
        "INSERT INTO near_duplicate SELECT previous, image_id, team_id, 3 FROM (SELECT image_id, team_id,"
        " lag(image_id) OVER (ORDER BY image_id) AS previous, row_number() OVER (ORDER BY image_id) AS number"
        " FROM image_hash WHERE team_id = $1) WHERE number % 10 = 0",
        UUID(int=1),
    )
    burst = [image_id(number) for number in range(rows // 2, rows // 2 + 3_300) if team_of(number, rows).int == 1]
    pairs = [(burst[at - back], burst[at], UUID(int=1), 2) for at in range(50, len(burst)) for back in range(1, 51)]
    await connection.executemany("INSERT INTO near_duplicate VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", pairs)
    await connection.execute("VACUUM ANALYZE near_duplicate")


async def measure_groups(database: Database, pages: int) -> None:
    """The time of pages of twenty groups, those that meet the burst among them."""
    took: list[float] = []
    before = None
    while len(took) < pages:
        started = time.perf_counter()
        page = await groups_of(database, UUID(int=1), MAX_HASH_DISTANCE, before, 20)
        took.append(time.perf_counter() - started)
        if page.next_cursor is None:
            break
        before = decode_cursor(page.next_cursor).row_id
    print(f"groups: {len(took)} pages of 20, {_spread(took)}", flush=True)


async def measure_stores(database: Database, connection: Any, queries: int) -> None:
    """The time of what the processor stores of an image that is made ready, its commit included."""
    random = np.random.default_rng(8)
    rows = await connection.fetch("SELECT image_id FROM image_hash WHERE team_id = $1 LIMIT $2", UUID(int=1), queries)
    described = np.concatenate(list(vectors(queries, random)))
    took = []
    for row, numbers in zip(rows, described, strict=True):
        claimed = Claim(row["image_id"], UUID(int=1), "", 1, 1, b"", row["image_id"], row["image_id"], "", False, None)
        started = time.perf_counter()
        async with database.transaction() as transaction:
            await store(transaction, claimed, random.bytes(8).hex(), {DESCRIPTOR_MODEL: numbers.tolist()})
        took.append(time.perf_counter() - started)
    print(f"stores: {len(took)} images, {_spread(took)}", flush=True)


async def measure(superuser: str, urls: Any, options: argparse.Namespace) -> None:
    """Fills, asks, prints."""
    connection = await asyncpg.connect(superuser)
    await fill(connection, options.rows)
    api, processor = (
        Database(DatabaseConfig(url=url, statement_timeout_seconds=120)) for url in (urls.api, urls.processor)
    )
    for database in (api, processor):
        await database.open()
    for where, team_id in TEAMS.items():
        await measure_search(api, connection, where, team_id, options.queries)
    await fill_pairs(connection, options.rows)
    await measure_groups(api, options.pages)
    await measure_hashes(processor, connection, UUID(int=1), options.queries)
    await measure_stores(processor, connection, options.queries)
    print(f"load {os.getloadavg()[0]:.1f}, exact up to {EXACT_ROWS:,} rows of a team")
    for database in (api, processor):
        await database.close()
    await connection.close()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--pages", type=int, default=3_000)
    options = parser.parse_args()
    print(describe("asyncpg"), f"load {os.getloadavg()[0]:.1f}", sep=", ", flush=True)
    with tempfile.TemporaryDirectory(prefix="image-manager-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "postgres", durable=False)
        server.start()
        try:
            urls = prepare_database(server, Path(folder))
            runner.upgrade(migration_engine(DatabaseConfig(url=urls.owner)))
            asyncio.run(measure(server.url(DATABASE), urls, options))
        finally:
            server.remove()


if __name__ == "__main__":
    main()
