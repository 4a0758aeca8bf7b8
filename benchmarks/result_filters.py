"""Pages filtered by results, out of a team of 100,000 images that are all analysed: what each costs the database.

    uv run --frozen python -m benchmarks.result_filters [--rows 100000]

A throw-away PostgreSQL gets the images and one result for each; every case is the first page.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.machine import describe
from benchmarks.metadata import BIG, explain
from image_api.images.columns import listed_columns
from image_api.listing import queries
from image_api.listing.filters.results import parse
from image_api.listing.orders import NEWEST_FIRST
from image_api.listing.walks import plan_walk
from image_core.db import DatabaseConfig, migration_engine
from image_core.migrations import runner
from local_cloud.postgres.database import DATABASE, prepare_database
from local_cloud.postgres.server import PostgresServer

_ROWS = """
INSERT INTO image (id, team_id, status, content_type, format, object_name, generation, size_bytes, sha256, width,
                   height, frames, ready_at, filename, created_at)
SELECT ('0199' || lpad(to_hex(n), 28, '0'))::uuid, $2, 'ready', 'image/jpeg', 'jpeg', 'originals/' || n, n, 1000 + n,
  sha256(n::text::bytea), 3000, 4000, 1, now(), 'photo ' || n, now() - n * interval '1 second'
FROM generate_series(1, $1::bigint) n
"""
_RESULTS = """
INSERT INTO analysis (id, team_id, sha256, analyzer, version, parameters, parameters_hash, status, result, analyzed_at)
SELECT gen_random_uuid(), $2, sha256(n::text::bytea), 'quality', '1', '{}', sha256(''), 'done',
  jsonb_build_object('sharpness', (abs(hashint8(n)) % 10000) / 10000.0, 'noise', 1.5, 'verdict', 'good',
                     'exposure', 40, 'contrast', 0.2, 'issues', '[]'::jsonb), now()
FROM generate_series(1, $1::bigint) n
"""
CASES = {
    "every second image": {"analysis.quality.sharpness[gte]": "0.5"},
    "one in 100": {"analysis.quality.sharpness[gte]": "0.99"},
    "one in 10,000": {"analysis.quality.sharpness[gte]": "0.9999"},
    "none": {"analysis.quality.verdict": "poor"},
}


async def measure(url: str, rows: int) -> None:
    """Fills, asks, prints."""
    connection: Any = await asyncpg.connect(url)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("INSERT INTO team (id, name) VALUES ($1, 'team')", BIG)
    for statement in (_ROWS, _RESULTS):
        await connection.execute(statement, rows, BIG)
    await connection.execute("VACUUM ANALYZE image, analysis")
    for name, asked in CASES.items():
        (wanted,) = parse(asked.items())
        walk = plan_walk(frozenset({"team_id", "not_trashed", "not_expired", "result_0"}), NEWEST_FIRST)
        assert walk is not None
        query = queries._walk_query(walk, NEWEST_FIRST, listed_columns(frozenset()))
        values: dict[str, Any] = {
            "team_id": BIG, "limit": 51, "walked": queries.WALKED_IMAGES, "analyzer_0": wanted.analyzer,
            "result_path_0": wanted.path,
        }  # fmt: skip
        done = await explain(connection, query, values)
        print(f"{name:20} {done.milliseconds:8.1f} ms, {done.rows} rows", flush=True)
    await connection.close()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    print(describe("asyncpg"))
    with tempfile.TemporaryDirectory(prefix="image-manager-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "postgres", durable=False)
        server.start()
        try:
            urls = prepare_database(server, Path(folder))
            runner.upgrade(migration_engine(DatabaseConfig(url=urls.owner)))
            asyncio.run(measure(server.url(DATABASE), options.rows))
        finally:
            server.remove()


if __name__ == "__main__":
    main()
