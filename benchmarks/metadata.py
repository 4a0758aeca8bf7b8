"""Filtered pages out of a million images: what each costs the database, how it is found, and what writing costs.

    uv run --frozen python -m benchmarks.metadata [--rows 1000000] [--explain]

A throw-away PostgreSQL gets half of the images in one team and the rest in a hundred others. Each case is asked as the
API asks it: among the newest images first, then by terms; `--explain` prints every plan.
"""

import argparse
import asyncio
import re
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from benchmarks.machine import describe
from image_api.listing import queries
from image_api.listing.filters.metadata import condition, parse
from image_api.listing.filters.metadata_terms import of_team
from image_api.metadata_schemas.templates import TEMPLATES
from image_core.db import DatabaseConfig, Query, migration_engine
from image_core.migrations import runner
from local_cloud.postgres.database import DATABASE, prepare_database
from local_cloud.postgres.server import PostgresServer

BIG, SMALL = UUID(int=1), UUID(int=5)
DECLARED = {field.name: field for field in TEMPLATES["photo-submission"]}
_TEAMS = (
    "INSERT INTO team (id, name) SELECT lpad(to_hex(n), 32, '0')::uuid, 'team ' || n FROM generate_series(1, 101) n"
)
# One image in 20,000 is from Tuvalu; all of the oldest tenth are from Iceland, and none of the others.
_METADATA = """jsonb_build_object('age', (abs(hashint8(n * 7 + 1)) % 90)::int,
    'gender', (ARRAY['female', 'male', 'other'])[1 + abs(hashint8(n * 11)) % 3],
    'place_of_living', 'Place ' || abs(hashint8(n * 13)) % 2000,
    'country_of_origin', CASE WHEN n % 20000 = 3 THEN 'TV' WHEN n < $3 / 10 THEN 'IS'
      ELSE (ARRAY['NO','SE','DK','FI','DE','FR','ES','IT','PL','GB'])[1 + abs(hashint8(n * 17)) % 10] END)"""
_IMAGES = f"""
INSERT INTO image (id, team_id, status, content_type, format, object_name, generation, size_bytes, sha256, width,
                   height, frames, ready_at, facts, metadata, filename, created_at)
SELECT ('0199' || lpad(to_hex(n), 28, '0'))::uuid,
  lpad(to_hex(CASE WHEN n % 2 = 0 THEN 1 ELSE 2 + n / 2 % 100 END), 32, '0')::uuid, 'ready', 'image/jpeg', 'jpeg',
  'originals/' || n, n, 1000 + n, sha256(n::text::bytea), 3000, 4000, 1, now(),
  '{{"exif": {{"iso": 200, "camera_make": "Maker", "camera_model": "Model", "focal_length": 35.0}},
    "colors": [{{"hex": "#304050", "share": 0.4}}], "blurhash": "TLDI%P8{{Sgt7WBaz0L%fWCNHofoe"}}',
  {_METADATA}, 'photo ' || n, now() - ($3 - n) * interval '1 second'
FROM generate_series($1::bigint, $2::bigint) n
"""
AGES = {"meta.age[gte]": "18", "meta.age[lte]": "30"}
FOUR = AGES | {"meta.gender": "female", "meta.place_of_living": "Place 77", "meta.country_of_origin": "NO"}
CASES = {
    "age, gender, place, country": FOUR,
    "the same without place": {name: value for name, value in FOUR.items() if "place" not in name},
    "age range": AGES,
    "gender": {"meta.gender": "female"},
    "place (1 in 2,000)": {"meta.place_of_living": "Place 77"},
    "country": {"meta.country_of_origin": "NO"},
    "rare country (1 in 20,000)": {"meta.country_of_origin": "TV"},
    "none matching": {"meta.age[gte]": "120"},
    "four ways, none matching": FOUR | {"meta.country_of_origin": "TV"},
    "place by prefix": {"meta.place_of_living[prefix]": "Place 77"},
    "only the oldest tenth": {"meta.country_of_origin": "IS"},
    "none has another gender": {"meta.gender[exists]": "false"},
}


class Asked(NamedTuple):
    """One statement as it ran."""

    milliseconds: float
    rows: int
    plan: str


async def explain(connection: Any, query: Query, values: dict[str, Any]) -> Asked:
    """The best of three runs, planning included."""
    sql, names, known = query.compiled
    arguments = [values[name] if name in values else known[name] for name in names]
    runs = []
    for _ in range(3):
        lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {sql}", *arguments)
        plan = "\n".join(line[0] for line in lines)
        spent = sum(float(each) for each in re.findall(r"(?:Planning|Execution) Time: ([\d.]+)", plan))
        runs.append(Asked(spent, int(float(re.findall(r"rows=([\d.]+) loops", plan)[0])), plan))
    return min(runs)


async def page(connection: Any, team_id: UUID | None, asked: dict[str, str]) -> list[Asked]:
    """The statements of one page, as `service.list_images` asks them."""
    wanted = condition(parse(asked.items()), [DECLARED])
    names = {"not_trashed", "not_expired", "metadata"} | ({"team_id"} if team_id else set())
    values: dict[str, Any] = {"limit": 51, "team_id": team_id, "metadata_path": wanted.path}
    near = await explain(connection, queries._near_query(frozenset(names)), values)
    if near.rows > 50:
        return [near]
    if wanted.terms or wanted.groups:
        names |= {"terms", *(f"terms_{number}" for number in range(len(wanted.groups)))}
        values |= {f"terms_{number}": group for number, group in enumerate(wanted.groups)}
        values["terms"] = [*([of_team(team_id)] if team_id else []), *wanted.terms]
    return [near, await explain(connection, queries._terms_query(frozenset(names)), values)]


async def fill(connection: Any, rows: int) -> None:
    """A million images, and how long they took."""
    await connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '256MB'")
    await connection.execute(_TEAMS)
    started = time.perf_counter()
    await connection.execute("DROP INDEX ix_image_terms")
    for first in range(1, rows + 1, 100_000):
        await connection.execute(_IMAGES, first, min(first + 99_999, rows), rows)
    filled = time.perf_counter()
    definition = "ON image USING gin (image_terms(team_id, metadata)) WITH (fastupdate = off)"
    await connection.execute(f"CREATE INDEX ix_image_terms {definition} WHERE metadata <> '{{}}'::jsonb")
    sizes = "SELECT pg_relation_size('ix_image_terms') / 1e6, pg_relation_size('image') / 1e6"
    index, table = await connection.fetchrow(sizes)
    print(f"{rows:,} images in {filled - started:.0f} s; the index in {time.perf_counter() - filled:.0f} s:", end=" ")
    print(f"{index:.0f} MB beside {table:.0f} MB of images")
    await connection.execute("VACUUM ANALYZE image")


async def measure_writes(connection: Any, rows: int) -> None:
    """Inserts of 1,000 images with four fields, one statement each, with the index and without; none of them stays."""
    for kind in ("with", "without"):
        transaction = connection.transaction()
        await transaction.start()
        if kind == "without":
            await connection.execute("DROP INDEX ix_image_terms")
        started = time.perf_counter()
        for number in range(rows + 1, rows + 1001):
            await connection.execute(_IMAGES, number, number, rows)
        print(f"an insert with four fields, {kind} the index: {time.perf_counter() - started:.2f} ms")
        await transaction.rollback()


async def measure(url: str, options: argparse.Namespace) -> None:
    """Fills, asks, prints."""
    connection = await asyncpg.connect(url, server_settings={"work_mem": "16MB"})
    await fill(connection, options.rows)
    for mode in ("force_custom_plan", "force_generic_plan"):
        await connection.execute(f"SET plan_cache_mode = {mode}")
        for where, team_id in (("all teams", None), ("half of them", BIG), ("one in 200", SMALL)):
            for name, asked in CASES.items():
                done = await page(connection, team_id, asked)
                each = " + ".join(f"{one.milliseconds:.1f}" for one in done)
                total = sum(one.milliseconds for one in done)
                print(f"{mode[6:-5]:8} {where:13} {name:28} {total:7.1f} ms ({each}), {done[-1].rows} rows", flush=True)
                if options.explain:
                    print("\n\n".join(one.plan for one in done), end="\n\n")
    await measure_writes(connection, options.rows)
    await connection.close()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--explain", action="store_true")
    options = parser.parse_args()
    print(describe("asyncpg"))
    with tempfile.TemporaryDirectory(prefix="image-manager-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "postgres", durable=False)
        server.start()
        try:
            urls = prepare_database(server, Path(folder))
            runner.upgrade(migration_engine(DatabaseConfig(url=urls.owner)))
            asyncio.run(measure(server.url(DATABASE), options))
        finally:
            server.remove()


if __name__ == "__main__":
    main()
