"""Lists out of a million images: what each costs the database, how it is found, and what writing costs.

    uv run --frozen python -m benchmarks.metadata [--rows 1000000] [--explain]

A throw-away PostgreSQL gets nine tenths of the images in one team and the rest in a hundred others. The API's own code
asks for pages filtered by metadata and by columns, in each order, for totals and for the timeline; `--explain` prints
every plan.
"""

import argparse
import asyncio
import re
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from benchmarks.machine import describe
from image_api.actor import DEFAULT_SCOPES, Actor, Role
from image_api.listing import service
from image_api.listing.filters.conditions import conditions
from image_api.listing.filters.metadata import parse
from image_api.listing.orders import NEWEST_FIRST, ORDERS
from image_api.listing.schemas import ImageFilters
from image_api.listing.service import Page
from image_api.listing.timeline import service as timeline
from image_api.listing.totals import Total, count_images
from image_api.metadata_schemas.templates import TEMPLATES
from image_core.db import DatabaseConfig, Query, migration_engine
from image_core.migrations import runner
from local_cloud.postgres.database import DATABASE, prepare_database
from local_cloud.postgres.server import PostgresServer

BIG, SMALL = UUID(int=1), UUID(int=5)
DECLARED = f"[{','.join(field.model_dump_json() for field in TEMPLATES['photo-submission'])}]"
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
                   height, frames, ready_at, facts, metadata, filename, created_at, failure_code, tags, taken_at,
                   taken_at_source, taken_local)
SELECT ('0199' || lpad(to_hex(n), 28, '0'))::uuid,
  lpad(to_hex(CASE WHEN n % 10 < 9 THEN 1 ELSE 2 + n / 10 % 100 END), 32, '0')::uuid,
  CASE n % 5000 WHEN 11 THEN 'failed' ELSE 'ready' END, 'image/jpeg', 'jpeg',
  'originals/' || n, n, 1000 + n, sha256(n::text::bytea), 3000, 4000, 1, now(),
  ('{{"exif": {{"iso": 200, "camera_make": "Maker", "camera_model": "Model '
    || CASE n % 20000 WHEN 5 THEN 'Rare' ELSE 'One' END || '", "focal_length": 35.0}},
    "colors": [{{"hex": "#304050", "share": 0.4}}], "blurhash": "TLDI%P8{{Sgt7WBaz0L%fWCNHofoe"}}')::jsonb,
  {_METADATA}, CASE WHEN n % 20 <> 0 THEN 'IMG_' || abs(hashint8(n * 19)) % 100000 || '.jpg' END,
  now() - ($3 - n) * interval '5 minutes', CASE n % 5000 WHEN 11 THEN 'x' END,
  CASE n % 20000 WHEN 7 THEN ARRAY['rare'] ELSE ARRAY['tag ' || n % 30] END,
  taken, CASE WHEN taken IS NULL THEN 'unknown' ELSE 'exif' END, taken AT TIME ZONE 'UTC'
FROM generate_series($1::bigint, $2::bigint) n, LATERAL (SELECT CASE WHEN n % 5 > 0 THEN now()
  - ($3 - n) * interval '5 minutes' - abs(hashint8(n * 23)) % 1000000 * interval '1 second' END) AS photograph (taken)
"""
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename = 'image' AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexname::regclass)
"""
_SIZES = "SELECT indexrelname, pg_relation_size(indexrelid) / 1e6 FROM pg_stat_user_indexes WHERE relname = 'image'"
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


RARE = {"camera": "Model Rare", "tag": "rare"}
LISTS: dict[str, dict[str, Any]] = {
    **{f"ordered by {order}": {"order_by": order} for order in ORDERS if order != str(NEWEST_FIRST)},
    "newest first": {},
    "camera that few have": {"camera": RARE["camera"]},
    "the same by filename": {"camera": RARE["camera"], "order_by": "filename"},
    "rare tag": {"tag": [RARE["tag"]]},
    "rare tag by filename": {"tag": [RARE["tag"]], "order_by": "filename desc"},
    "frequent tag by filename": {"tag": ["tag 3"], "order_by": "filename"},
    "failed, by time of the photograph": {"status": ["failed"], "order_by": "taken_at desc"},
    "large files": {"min_size": 1000 + 999_990},
    "small files by filename": {"max_size": 1100, "order_by": "filename"},
    "a week of photographs by filename": {
        "taken_after": "2026-01-01",
        "taken_before": "2026-01-08",
        "order_by": "filename",
    },
}
"""Pages filtered by columns, for the team with most images."""


class Asked(NamedTuple):
    """One statement as it ran."""

    milliseconds: float
    rows: int
    plan: str


def cpu_milliseconds(process_id: int) -> float:
    return int(Path(f"/proc/{process_id}/schedstat").read_text().split()[0]) / 1e6


async def explain(connection: Any, query: Query, values: dict[str, Any]) -> Asked:
    """The best of three runs with planning, in CPU time of the server: other work on the machine hardly moves it."""
    sql, names, known = query.compiled
    arguments = [values[name] if name in values else known[name] for name in names]
    runs = []
    for _ in range(3):
        used = cpu_milliseconds(connection.get_server_pid())
        lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {sql}", *arguments)
        spent = cpu_milliseconds(connection.get_server_pid()) - used
        plan = "\n".join(line[0] for line in lines)
        runs.append(Asked(spent, int(float(re.findall(r"rows=([\d.]+) loops", plan)[0])), plan))
    return min(runs)


class Explaining:
    """Runs statements, and keeps what each cost the database. It stands in for the API's `Database`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.asked: list[Asked] = []

    async def fetch(self, statement: Any, **values: Any) -> list[Any]:
        query = statement if isinstance(statement, Query) else Query(statement)
        self.asked.append(await explain(self._connection, query, values))
        sql, names, known = query.compiled
        rows: list[Any] = await self._connection.fetch(
            sql, *(values[name] if name in values else known[name] for name in names)
        )
        return rows

    async def fetch_one(self, statement: Any, **values: Any) -> Any:
        return next(iter(await self.fetch(statement, **values)), None)

    async def fetch_value(self, statement: Any, **values: Any) -> Any:
        row = await self.fetch_one(statement, **values)
        return None if row is None else row[0]

    async def execute(self, statement: Any, **values: Any) -> int:
        raise NotImplementedError


def reader(team_id: UUID | None) -> Actor:
    """Somebody who reads the images of a team, or of all."""
    role = Role.ADMIN if team_id is None else Role.MEMBER
    return Actor(UUID(int=0), "reader", team_id, role, frozenset(DEFAULT_SCOPES[role]), None, None, None, False)


async def page(
    connection: Any, team_id: UUID | None, filters: dict[str, Any], on_metadata: dict[str, str] | None = None
) -> tuple[list[Asked], Page]:
    """A page as the API finds it, without the look-up of the metadata schema."""
    runner = Explaining(connection)
    parsed = ImageFilters.model_validate(filters)
    found, _ = await service.list_images(runner, reader(team_id), parsed, parse((on_metadata or {}).items()), [])
    return runner.asked[1:] if on_metadata else runner.asked, found


async def months(connection: Any, filters: dict[str, Any]) -> list[Asked]:
    """The months of a timeline, and the images of the latest month."""
    runner, parsed = Explaining(connection), ImageFilters.model_validate(filters)
    counted = await timeline.count_months(runner, reader(BIG), None, parsed, [], [])
    month = datetime.strptime(counted.months[0].month, "%Y-%m")  # noqa: DTZ007
    await timeline.list_month(runner, reader(BIG), month, 2000, None, parsed, [], [])
    return runner.asked


async def totals(connection: Any, filters: dict[str, Any], on_metadata: dict[str, str]) -> tuple[list[Asked], Total]:
    """The total of a list of the team with most images."""
    names, values = await conditions(
        Explaining(connection), reader(BIG), ImageFilters.model_validate(filters), parse(on_metadata.items()), []
    )
    runner = Explaining(connection)
    total = await count_images(runner, frozenset(names), values)
    return runner.asked, total


async def fill(connection: Any, rows: int) -> None:
    """A million images, and how long they took."""
    await connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '256MB'")
    await connection.execute(_TEAMS)
    await connection.execute(
        "INSERT INTO metadata_schema (team_id, fields, revision) SELECT id, $1::jsonb, 1 FROM team", DECLARED
    )
    started = time.perf_counter()
    indexes = await connection.fetch(_INDEXES)
    await connection.execute("".join(f"DROP INDEX {name};" for name, _ in indexes))
    for first in range(1, rows + 1, 100_000):
        await connection.execute(_IMAGES, first, min(first + 99_999, rows), rows)
    filled = time.perf_counter()
    for _, definition in indexes:
        await connection.execute(definition)
    built = time.perf_counter()
    print(f"{rows:,} images in {filled - started:.0f} s; the indexes in {built - filled:.0f} s; megabytes of each:")
    print(", ".join(f"{name} {size:.0f}" for name, size in await connection.fetch(_SIZES)))
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


def show(name: str, done: list[Asked], result: object, *, plans: bool) -> None:
    """Print what a request costs the database: in all, and each statement."""
    each = " + ".join(f"{one.milliseconds:.1f}" for one in done)
    print(f"{name:60} {sum(one.milliseconds for one in done):7.1f} ms ({each}) {result}", flush=True)
    if plans:
        print("\n\n".join(one.plan for one in done), end="\n\n")


def size_of(found: Page) -> str:
    return f"{len(found.rows)} images{', partial' * found.partial}"


async def measure_lists(connection: Any, *, plans: bool) -> None:
    """Lists, orders, totals and the timeline of the team with most images."""
    for name, filters in LISTS.items():
        done, found = await page(connection, BIG, filters)
        show(name, done, size_of(found), plans=plans)
        if found.next_cursor:
            done, found = await page(connection, BIG, filters | {"cursor": found.next_cursor})
            show(f"{name}, next page", done, size_of(found), plans=plans)
    for name, filters in {"all": {}, **LISTS}.items():
        if "order_by" not in filters:
            done, total = await totals(connection, filters, {})
            show(f"total of {name}", done, total, plans=plans)
    for name, on_metadata in CASES.items():
        done, total = await totals(connection, {}, on_metadata)
        show(f"total of {name}", done, total, plans=plans)
    for name, filters in {"all": {}, "rare camera": {"camera": RARE["camera"]}, "rare tag": {"tag": ["rare"]}}.items():
        counted, listed = (asked := await months(connection, filters))[:-1], asked[-1:]
        show(f"months, {name}", counted, "", plans=plans)
        show(f"images of the latest month, {name}", listed, "", plans=plans)


async def measure(url: str, options: argparse.Namespace) -> None:
    """Fills, asks, prints."""
    connection = await asyncpg.connect(url, server_settings={"work_mem": "16MB"})
    await fill(connection, options.rows)
    for mode in ("force_custom_plan", "force_generic_plan"):
        await connection.execute(f"SET plan_cache_mode = {mode}")
        for where, team_id in (("all teams", None), ("nine in ten", BIG), ("one in 1,000", SMALL)):
            for name, on_metadata in CASES.items():
                done, found = await page(connection, team_id, {}, on_metadata)
                show(f"{mode[6:-5]:8} {where:13} {name}", done, size_of(found), plans=options.explain)
    await connection.execute("SET plan_cache_mode = auto")
    await measure_lists(connection, plans=options.explain)
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
