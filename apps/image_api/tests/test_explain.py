"""The API's queries use their indexes on 200,000 images."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from image_api.images import queries, upload_queries
from image_core.db import Database, DatabaseConfig, Query
from image_core.ids import new_id
from image_core.testing import a_sha256

_FILL = """
INSERT INTO team (id, name) SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'team ' || n
FROM generate_series(1, 20) AS n;
INSERT INTO image (id, team_id, status, failure_code, filename, content_type, format, object_name, generation,
  size_bytes, sha256, width, height, frames, tags, deleted_at, stored_at, queued_at, ready_at, created_at, deadline_at)
SELECT gen_random_uuid(), ('00000000-0000-7000-8000-' || lpad((1 + n % 20)::text, 12, '0'))::uuid,
  CASE WHEN n % 503 = 0 THEN 'failed' WHEN n % 101 = 1 THEN 'stored' ELSE 'ready' END, 'x', 'photo-' || n || '.jpg',
  CASE WHEN n % 51 = 0 THEN 'image/heic' ELSE 'image/jpeg' END, 'jpeg', 'originals/' || n, n, 1000 + n,
  sha256(n::text::bytea), 3000, 4000, 1, CASE WHEN n % 1001 = 3 THEN '{rare}'::text[] ELSE '{}' END,
  CASE WHEN n % 203 = 7 THEN now() END, now(), now(), now(), now() - n * interval '1 minute', now()
FROM generate_series(1, 200000) AS n;
ANALYZE
"""
TEAM = UUID("00000000-0000-7000-8000-000000000005")


@pytest.fixture(scope="module")
async def many(clone_template: Callable[[str], Any], worker_name: str) -> AsyncIterator[Database]:
    urls = await asyncio.to_thread(clone_template, f"explain_{worker_name}")
    database = Database(DatabaseConfig(url=urls.superuser, statement_timeout_seconds=60))
    await database.open()
    for statement in _FILL.split(";"):
        await database.fetch(text(statement))
    yield database
    await database.close()


async def _plan(database: Database, query: Query, **values: Any) -> str:
    """The plan with the values in the place of parameters, as PostgreSQL's custom plans see them."""
    sql, names, known = query.compiled
    arguments = [values.get(name, known.get(name)) for name in names]
    async with database.connection() as connection:
        lines = await connection._connection.fetch(f"EXPLAIN {sql}", *arguments)
    return "\n".join(line[0] for line in lines)


LISTED = frozenset({"team_id", "not_trashed", "not_expired"})
CASES: dict[str, tuple[frozenset[str], dict[str, Any], str]] = {
    "the newest": (LISTED, {}, "ix_image_listed"),
    "the next page": (
        LISTED | {"cursor"},
        {"cursor_at": datetime(2026, 1, 1, tzinfo=UTC), "cursor_id": new_id()},
        "ix_image_listed",
    ),
    "by status": (frozenset({"team_id", "not_trashed", "status"}), {"status": "failed"}, "ix_image_status"),
    "by type": (LISTED | {"content_type"}, {"content_type": "image/heic"}, "ix_image_(content_type|listed)"),
    "by tag": (LISTED | {"tag"}, {"tag": ["rare"]}, "ix_image_tags"),
    "by date": (LISTED | {"created_before"}, {"created_before": datetime(2026, 1, 1, tzinfo=UTC)}, "ix_image_listed"),
    "the trash": (frozenset({"team_id", "trashed"}), {}, "ix_image_(trashed|deleted_at)"),
    "all teams": (frozenset({"not_trashed", "not_expired"}), {"team_id": None}, "ix_image_listed_all_teams"),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_list_uses_its_index(many: Database, case: str) -> None:
    conditions, values, index = CASES[case]
    query = queries.page_statement(conditions)
    plan = await _plan(many, query, **{"team_id": TEAM, "limit": 51, "base_url": "", **values})
    assert re.search(index, plan), plan
    assert "Seq Scan on image" not in plan


async def test_a_look_up_by_content_uses_its_index(many: Database) -> None:
    plan = await _plan(many, upload_queries._find_twin, team_id=TEAM, digest=a_sha256("x"))
    assert "ix_image_team_id_sha256" in plan or "uq_image_team_id_sha256_live" in plan, plan


async def test_one_image_and_its_derivatives_are_found_by_their_keys(many: Database) -> None:
    plan = await _plan(many, queries._get, team_id=TEAM, image_id=new_id(), base_url="")
    assert "pk_image" in plan
    assert "Seq Scan" not in plan.replace("Seq Scan on derivative", "")
