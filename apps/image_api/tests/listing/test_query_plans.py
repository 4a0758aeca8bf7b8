"""On 200,000 images, each query that the API runs finds its rows by an index."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from image_api.collections import queries as collection_queries
from image_api.images import queries as image_queries
from image_api.images.columns import listed_columns
from image_api.links import viewing
from image_api.listing import included, queries
from image_api.listing.filters.conditions import area_values
from image_api.listing.filters.metadata import condition as condition_of
from image_api.listing.filters.metadata import parse
from image_api.listing.filters.metadata_terms import team_term
from image_api.listing.orders import LATEST_OF_MONTH, NEWEST_FIRST, ORDERS, Order
from image_api.listing.timeline import queries as timeline_queries
from image_api.listing.walks import Walk, plan_walk
from image_api.metadata_schemas.schemas import DeclaredField, FieldType
from image_api.share_pages import queries as page_queries
from image_api.uploads import queries as upload_queries
from image_core.capture.areas import parse_area, parse_circle
from image_core.capture.place_cells import cell_of
from image_core.db import Query

IMAGES = 200_000
AGED = {
    "age": DeclaredField(name="age", type=FieldType.INTEGER),
    "place": DeclaredField(name="place", type=FieldType.STRING),
}
TEAM = UUID(int=7)
USER = UUID("00000000-0000-7000-8000-000000000001")

# A hundred teams with two thousand images each, one in fifty waiting, failed, expired or in the trash; one in
# ten with metadata.
ROWS = f"""
INSERT INTO team (id, name) SELECT lpad(to_hex(n), 32, '0')::uuid, 'team ' || n FROM generate_series(0, 99) n;
INSERT INTO image (id, team_id, uploaded_by, status, content_type, format, object_name, generation, size_bytes, sha256,
    width, height, frames, ready_at, deadline_at, failure_code, deleted_at, tags, filename, created_at,
    metadata, search_terms)
SELECT ('0199' || lpad(to_hex(n), 28, '0'))::uuid, lpad(to_hex(n % 100), 32, '0')::uuid,
    CASE WHEN n % 100 = 7 THEN '{USER}'::uuid END,
    CASE n / 100 % 50 WHEN 1 THEN 'failed' WHEN 2 THEN 'stored' WHEN 3 THEN 'expired' ELSE 'ready' END,
    CASE n / 100 % 40 WHEN 0 THEN 'image/webp' ELSE 'image/jpeg' END, 'jpeg', 'o/' || n, n + 1, n + 1,
    sha256(n::text::bytea), 10, 10, 1, now(), now(), CASE n / 100 % 50 WHEN 1 THEN 'x' END,
    CASE n / 100 % 50 WHEN 4 THEN now() END, CASE n / 100 % 100 WHEN 0 THEN ARRAY['rare'] ELSE '{{}}'::text[] END,
    'file ' || n, now() - n * interval '1 second',
    CASE n / 100 % 10 WHEN 0 THEN jsonb_build_object('age', n / 1000 % 90, 'place', 'Place ' || n) ELSE '{{}}' END,
    ARRAY['@' || lpad(to_hex(n % 100), 32, '0')::uuid, 'fil', 'ile', '^f', '^fi']
    || ARRAY(SELECT substr(n::text, at, 3) FROM generate_series(1, length(n::text) - 2) AS at)
FROM generate_series(0, {IMAGES - 1}) n;
INSERT INTO analysis (id, team_id, sha256, analyzer, version, parameters, parameters_hash, status, result, analyzed_at)
SELECT gen_random_uuid(), lpad(to_hex(n % 100), 32, '0')::uuid, sha256(n::text::bytea), 'quality', '1', '{{}}',
    sha256(''), 'done', jsonb_build_object('sharpness', n / 100 / 2000.0), now()
FROM generate_series(0, {IMAGES - 1}) n
"""
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename IN ('image', 'analysis') AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexname::regclass)
"""


@pytest.fixture(scope="module")
async def many(clone_template: Callable[[str], Any], worker_name: str) -> AsyncIterator[Any]:
    urls = await asyncio.to_thread(clone_template, f"many_{worker_name}")
    connection = await asyncpg.connect(urls.superuser)
    await connection.execute("SET synchronous_commit = off")
    await connection.execute("SET session_replication_role = replica")
    # Built at once, indexes take a third of the time that they take row by row.
    indexes = await connection.fetch(INDEXES)
    await connection.execute("".join(f"DROP INDEX {name};" for name, _ in indexes))
    await connection.execute(ROWS)
    await connection.execute(";".join([*(built for _, built in indexes), "ANALYZE"]))
    yield connection
    await connection.close()


def walk_of(conditions: Collection[str], order: Order = NEWEST_FIRST) -> Walk:
    walk = plan_walk(frozenset(conditions), order)
    assert walk is not None
    return walk


def walk(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(each for child in plan.get("Plans", []) for each in walk(child))]


async def explained(connection: Any, query: Query, **values: Any) -> tuple[set[str], float]:
    """The indexes that a query reads images by, and how many rows of images it looked at; never a whole table."""
    sql, names, known = query.compiled
    arguments = [values[name] if name in values else known[name] for name in names]
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
    nodes = walk(orjson.loads(text)[0]["Plan"])
    scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    assert not scanned & {"image", "analysis"}
    looked_at = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
        if node.get("Relation Name") == "image"
    )
    return {node["Index Name"] for node in nodes if "Index Name" in node}, looked_at


LIVING = {"team_id", "not_trashed"}
COLUMNS = listed_columns(frozenset())
LATELY = datetime.now(UTC) - timedelta(hours=5)


@pytest.mark.parametrize(
    ("conditions", "values", "indexes"),
    [
        (LIVING | {"not_expired"}, {}, {"ix_image_listed"}),
        (LIVING | {"status"}, {"status": "failed"}, {"ix_image_status"}),
        (LIVING | {"status"}, {"status": "ready"}, {"ix_image_status", "ix_image_listed"}),
        (LIVING | {"not_expired", "content_type"}, {"content_type": "image/webp"}, {"ix_image_content_type"}),
        (LIVING | {"not_expired", "content_type"}, {"content_type": "image/none"}, {"ix_image_content_type"}),
        ({"uploaded_by", "not_trashed", "not_expired"}, {}, {"ix_image_uploaded_by"}),
        (LIVING | {"not_expired", "created_before"}, {"created_before": LATELY}, {"ix_image_listed"}),
        ({"team_id", "trashed"}, {}, {"ix_image_trashed"}),
        ({"not_trashed", "not_expired"}, {}, {"ix_image_listed_all_teams"}),
    ],
    ids=["list", "failed", "ready", "webp", "none", "uploader", "date", "trash", "every-team"],
)
async def test_a_list_reads_hardly_more_rows_than_it_shows(
    many: Any, conditions: set[str], values: dict[str, Any], indexes: set[str]
) -> None:
    values = {"team_id": TEAM, "uploaded_by": USER, "limit": 51, **values}
    used, looked_at = await explained(many, queries.page_statement(frozenset(conditions)), **values)
    assert used & indexes
    assert looked_at <= 100


async def test_places_are_found_without_reading_the_team(many: Any) -> None:
    # Two of the team's two thousand images are near Oslo, the others are spread over the earth.
    await many.execute("SET synchronous_commit = off")
    await many.executemany(
        "UPDATE image SET location_cell = $2, facts = jsonb_build_object('location', jsonb_build_object("
        "'latitude', $3::float8, 'longitude', $4::float8)) WHERE id = $1",
        [
            (row["id"], cell_of(latitude, longitude), latitude, longitude)
            for n, row in enumerate(await many.fetch("SELECT id FROM image WHERE team_id = $1 ORDER BY id", TEAM))
            for latitude, longitude in [(59.91, 10.73 + n / 1e4) if n in (7, 1907) else (n % 89, n % 179 - 170)]
        ],
    )
    await many.execute("ANALYZE image")
    conditions = LIVING | {"not_expired"}
    for text, name in (("59.91,10.73,60000", "near"), ("10.7,59.9,11,59.92", "bbox")):
        area = parse_circle(text) if name == "near" else parse_area(text)
        values = {"team_id": TEAM, "limit": 51, **area_values(name, area)}
        used, looked_at = await explained(many, queries.page_statement(frozenset(conditions | {name})), **values)
        assert "ix_image_location" in used
        assert 1 <= looked_at <= 20


async def test_what_is_included_is_found_by_the_images_of_the_page(many: Any) -> None:
    rows = await many.fetch("SELECT id FROM image WHERE team_id = $1 LIMIT 50", TEAM)
    image_ids = [row["id"] for row in rows]
    used, looked_at = await explained(many, included._results, team_id=TEAM, image_ids=image_ids)
    assert "uq_analysis_of_bytes" in used
    assert looked_at <= len(image_ids)
    assert await many.fetchval("SELECT count(*) FROM derivative") == 0
    await many.execute("SET enable_seqscan = off")
    used, _ = await explained(many, included._derivatives, image_ids=image_ids)
    await many.execute("RESET enable_seqscan")
    assert "uq_derivative_image_id_preset" in used


async def test_a_later_page_reads_no_more_than_the_first(many: Any) -> None:
    row = await many.fetchrow(
        "SELECT created_at, id FROM image WHERE team_id = $1 ORDER BY created_at OFFSET 100 LIMIT 1", TEAM
    )
    conditions = frozenset(LIVING | {"not_expired", "cursor"})
    values = {"team_id": TEAM, "limit": 51, "cursor_value": row["created_at"], "cursor_id": row["id"]}
    used, looked_at = await explained(many, queries.page_statement(conditions), **values)
    assert "ix_image_listed" in used
    assert looked_at <= 100


@pytest.mark.parametrize(("path", "most"), [('$."sharpness" > 0.001', 110), ('$."sharpness" > 0.99', 4_500)])
async def test_results_are_looked_up_for_the_images_that_are_walked(many: Any, path: str, most: int) -> None:
    conditions = frozenset(LIVING | {"not_expired", "result_0"})
    values = {"team_id": TEAM, "limit": 51, "analyzer_0": "quality", "result_path_0": path}
    used, looked_at = await explained(many, queries.page_statement(conditions), **values)
    assert {"ix_image_listed", "uq_analysis_of_bytes"} <= used
    assert looked_at <= most


async def test_rare_tags_and_large_files_are_found_without_reading_the_team(many: Any) -> None:
    for condition, values in (
        ("tag", {"tag": ["rare"]}),
        ("tag_0", {"tag_0": ["rare", "rårere"]}),
        ("min_size", {"min_size": IMAGES - 500}),
    ):
        conditions = frozenset(LIVING | {"not_expired", condition})
        _, looked_at = await explained(many, queries.page_statement(conditions), team_id=TEAM, limit=51, **values)
        assert looked_at <= 2_500


async def test_one_image_and_its_twin_are_found_by_their_keys(many: Any) -> None:
    image_id = UUID("0199" + f"{7:028x}")
    used, looked_at = await explained(many, image_queries._get, image_id=image_id, team_id=TEAM)
    assert (bool(used & {"pk_image", "uq_image_id_team_id"}), looked_at) == (True, 1)
    digest = await many.fetchval("SELECT sha256 FROM image WHERE id = $1", image_id)
    used, looked_at = await explained(many, upload_queries._find_existing, team_id=TEAM, digest=digest)
    assert used & {"ix_image_team_id_sha256", "uq_image_team_id_sha256_live"}
    assert looked_at <= 2


@pytest.mark.parametrize("team_id", [TEAM, None], ids=["team", "every-team"])
async def test_metadata_are_found_by_their_terms(many: Any, team_id: UUID | None) -> None:
    asked = condition_of(
        parse([("meta.place", "Place 180007"), ("meta.age[gte]", "0"), ("meta.age[lte]", "9")]), [AGED]
    )
    conditions = frozenset({"not_trashed", "not_expired", "metadata", "terms", "terms_0"})
    conditions |= {"team_id"} if team_id else set()
    values = {
        "team_id": team_id, "limit": 51, "metadata_path": asked.path, "terms_0": asked.groups[0],
        "terms": [*([team_term(team_id)] if team_id else []), *asked.terms],
    }  # fmt: skip
    used, looked_at = await explained(many, queries._found_query(conditions, NEWEST_FIRST, COLUMNS), **values)
    assert "ix_image_terms" in used
    assert 1 <= looked_at <= 4
    candidates = walk_of(conditions).finding
    used, looked_at = await explained(many, queries._count_query(candidates), most=10_001, **values)
    assert "ix_image_terms" in used
    assert 1 <= looked_at <= 4


@pytest.mark.parametrize("team_id", [TEAM, None], ids=["team", "every-team"])
async def test_words_are_found_by_their_terms(many: Any, team_id: UUID | None) -> None:
    conditions = frozenset({"not_trashed", "not_expired", "q_patterns", "terms_q", *(["team_id"] if team_id else [])})
    terms = [*([team_term(team_id)] if team_id else []), "fil", "ile", "180", "800", "000", "007"]
    values = {"team_id": team_id, "limit": 51, "q_patterns": ["%file%", "%180007%"], "terms_q": terms}
    counting = queries._count_query(walk_of(conditions).finding)
    for query in (queries._found_query(conditions, NEWEST_FIRST, COLUMNS), counting):
        used, looked_at = await explained(many, query, most=10_001, **values)
        assert "ix_image_search_terms" in used
        assert 1 <= looked_at <= 4


async def test_frequent_metadata_are_found_among_the_newest_images(many: Any) -> None:
    asked = condition_of(parse([("meta.age[gte]", "120")]), [AGED])
    walk = walk_of({"not_trashed", "not_expired", "metadata"})
    values = {"limit": 51, "walked": 10_000, "metadata_path": asked.path}
    used, looked_at = await explained(many, queries._walk_query(walk, NEWEST_FIRST, COLUMNS), **values)
    assert "ix_image_listed_all_teams" in used
    # Those on which the filter is tried, and the entries of the index up to the last of them.
    assert looked_at <= 20_000


@pytest.mark.parametrize(
    ("text", "more", "index"),
    [
        ("created_at", set[str](), "ix_image_listed"),
        ("created_at desc", {"camera"}, "ix_image_listed"),
        # The defaults of the teams are read once, not for each image.
        ("created_at desc", {"visibility"}, "ix_image_listed"),
        ("taken_at", set[str](), "ix_image_taken"),
        ("taken_at desc", {"camera"}, "ix_image_taken"),
        ("filename", {"named"}, "ix_image_filename"),
        ("filename", {"unnamed"}, "ix_image_filename"),
        ("filename desc", {"named", "camera"}, "ix_image_filename"),
        ("filename desc", {"unnamed", "camera"}, "ix_image_filename"),
    ],
)
@pytest.mark.parametrize("cursor", [set[str](), {"cursor"}], ids=["first", "later"])
async def test_a_list_is_walked_along_the_index_of_its_order(
    many: Any, text: str, more: set[str], index: str, cursor: set[str]
) -> None:
    order, conditions = ORDERS[text], frozenset(LIVING | {"not_expired"} | more | cursor)
    row = await many.fetchrow("SELECT * FROM image WHERE team_id = $1 ORDER BY id OFFSET 900 LIMIT 1", TEAM)
    position = row["filename"] if order.field == "filename" else row["created_at"]
    values = {
        "team_id": TEAM, "limit": 51, "walked": 200, "camera": "None", "visibility": "public",
        "cursor_value": position, "cursor_id": row["id"],
    }  # fmt: skip
    query = (
        queries._walk_query(walk_of(conditions, order), order, COLUMNS)
        if conditions & {"camera", "visibility"}
        else queries.page_statement(conditions, order)
    )
    used, looked_at = await explained(many, query, **values)
    assert used == {index}
    assert looked_at <= 400


@pytest.mark.parametrize(("text", "index"), [("created_at desc", "ix_image_listed"), ("taken_at", "ix_image_taken")])
async def test_a_plan_for_any_values_walks_along_the_index_too(many: Any, text: str, index: str) -> None:
    # PostgreSQL keeps one after five executions, where it expects few images in a team.
    order = ORDERS[text]
    sql, names, _ = queries._walk_query(walk_of(LIVING | {"not_expired", "camera"}, order), order, COLUMNS).compiled
    await many.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE listed AS {sql}")
    plan = await many.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE listed({', '.join(['NULL'] * len(names))})")
    await many.execute("RESET plan_cache_mode; DEALLOCATE listed")
    nodes = walk(orjson.loads(plan)[0]["Plan"])
    assert {node["Index Name"] for node in nodes if "Index Name" in node} == {index}


async def test_a_period_of_photographs_is_found_by_its_index(many: Any) -> None:
    conditions = frozenset(LIVING | {"not_expired", "taken_after", "taken_before"})
    values = {"taken_after": LATELY - timedelta(hours=1), "taken_before": LATELY, "team_id": TEAM, "limit": 51}
    for order in ("created_at desc", "taken_at desc"):
        used, looked_at = await explained(many, queries.page_statement(conditions, ORDERS[order]), **values)
        assert used == {"ix_image_taken"}
        assert looked_at <= 51


async def test_filters_with_an_index_find_candidates_by_it(many: Any) -> None:
    for name, value, index in (
        ("status", "failed", "ix_image_status"),
        ("tag", ["rare"], "ix_image_tags"),
        ("min_size", IMAGES - 500, "ix_image_size_bytes"),
    ):
        walk = walk_of(LIVING | {"not_expired", name, "named"}, ORDERS["filename"])
        used, looked_at = await explained(
            many, queries._count_query(walk.finding), most=10_001, team_id=TEAM, **{name: value}
        )
        assert index in used
        assert looked_at <= 100


async def test_months_are_counted_without_reading_images(many: Any) -> None:
    await many.execute("VACUUM image")
    walk = walk_of(LIVING | {"not_expired"}, LATEST_OF_MONTH)
    months = timeline_queries._next_months_query(walk, LATEST_OF_MONTH)
    used, _ = await explained(many, months, team_id=TEAM, most=50_000)
    assert used == {"ix_image_local_time"}
    conditions = frozenset(LIVING | {"not_expired", "month_start", "month_end"})
    query = queries._page_query(conditions, LATEST_OF_MONTH, timeline_queries.TILE_COLUMNS)
    start = datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    values = {"month_start": start, "month_end": start + timedelta(31), "team_id": TEAM, "limit": 2_001}
    used, looked_at = await explained(many, query, **values)
    assert (used, looked_at) == ({"ix_image_local_time"}, 0)


@pytest.fixture(scope="module")
async def grouped(many: Any) -> Any:
    # A hundred collections and a hundred links, each of all two thousand images of a team, under the team's id.
    for table, group in (("collection_member", "collection_id"), ("share_link_image", "link_id")):
        await many.execute(
            f"INSERT INTO {table} ({group}, image_id, team_id, position)"
            " SELECT team_id, id, team_id, row_number() OVER (PARTITION BY team_id ORDER BY sha256) FROM image"
        )
        await many.execute(f"ANALYZE {table}")
    return many


async def test_pages_of_a_collection_read_hardly_more_images_than_they_show(grouped: Any) -> None:
    last_shown = UUID("0199" + f"{7:028x}")
    for values in ({"cursor_id": None, "cursor_position": 1000}, {"cursor_id": last_shown, "cursor_position": 0}):
        used, looked_at = await explained(
            grouped, collection_queries._images(frozenset()), collection_id=TEAM, team_id=TEAM, limit=51, **values
        )
        assert "uq_collection_member_position" in used
        assert looked_at <= 70


@pytest.mark.parametrize("kind", ["list", "collection"])
async def test_pages_of_a_share_link_read_its_images_and_no_others(grouped: Any, kind: str) -> None:
    values = {"owner_id": TEAM, "team_id": TEAM, "limit": 60, "skipped": 120, "image_id": UUID("0199" + f"{7:028x}")}
    # Both begin with the link or collection, so that either finds its images.
    of_members = {"list": "share_link_image", "collection": "collection_member"}[kind]
    indexes = {f"uq_{of_members}_position", f"pk_{of_members}"}
    for name in (f"_page_of_{kind}", f"_one_of_{kind}"):
        used, looked_at = await explained(grouped, getattr(page_queries, name), **values)
        assert used & indexes
        # Each to be counted, and those of the page.
        assert looked_at <= 2_100
    counted, _ = await explained(grouped, getattr(viewing, f"_count_of_{kind}"), **values)
    assert counted & indexes
