"""Get one image and list 50, with the whole middleware on, beside a bare endpoint that returns the same JSON.

    uv run --frozen python -m benchmarks.reads [--requests 4000] [--rounds 5]

Both services read the same database. What counts is requests per second of the server's own CPU time; the rounds
alternate between the two and the best of each counts. The list is also read with the details that `include` adds, and
the CPU of PostgreSQL is measured beside that of the server.
"""

import argparse
import asyncio
import os
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from benchmarks.machine import child_cpu_seconds, cpu_seconds, describe
from benchmarks.parts import body_size, new_member, repeat, running_system, wait_for_port

_ROWS = 20_000
_DETAILS = "facts,metadata,derivatives"
_FILL = """
WITH made AS (
  INSERT INTO image (id, team_id, status, filename, content_type, format, object_name, generation, size_bytes,
                     sha256, width, height, frames, facts, tags, metadata, stored_at, queued_at, ready_at, created_at)
  SELECT gen_random_uuid(), $1::uuid, 'ready', 'photograph-' || n || '.jpg', 'image/jpeg', 'jpeg',
         'originals/bench/' || n, n + 1, 2500000 + n, sha256(n::text::bytea), 3000, 4000, 1,
         '{"exif": {"iso": 200, "camera_make": "Maker", "camera_model": "Model", "focal_length": 35.0},
           "colors": [{"hex": "#304050", "share": 0.4}], "blurhash": "TLDI%P8{Sgt7WBaz0L%fWCNHofoe"}',
         '{fjord,summer}', '{"country": "NO"}', now(), now(), now(), now() - n * interval '1 second'
  FROM generate_series(1, $2::int) AS n RETURNING id
)
INSERT INTO derivative (id, image_id, preset, generation, object_name, content_type, width, height, frames, size_bytes,
                        sha256)
SELECT gen_random_uuid(), made.id, preset, 1, 'derivatives/bench/' || made.id || '/' || preset, 'image/webp', width,
       width * 4 / 3, 1, width * 40, sha256(made.id::text::bytea)
FROM made, (VALUES ('thumb', 192), ('preview', 768), ('large', 1536)) AS presets (preset, width)
"""

BARE = """
import os, uuid
import asyncpg, orjson, uvicorn
from contextlib import asynccontextmanager
from fastapi import FastAPI, Response
from image_api.images import queries as image_queries
from image_api.listing import queries
from image_api.images.body import image_body, listed_body

GET, get_names, get_known = image_queries._get.compiled
LIST, list_names, list_known = queries.page_statement(frozenset({"team_id", "not_trashed", "not_expired"})).compiled
TEAM = uuid.UUID(os.environ["TEAM"])
BASE = os.environ["PUBLIC_BASE_URL"]

@asynccontextmanager
async def lifespan(app):
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=0, max_size=8)
    yield

app = FastAPI(lifespan=lifespan, telemetry={"tracing": False, "metrics": False, "logs": False})

@app.get("/images/{image_id}")
async def get(image_id: uuid.UUID):
    values = {"team_id": TEAM, "image_id": image_id}
    row = await app.state.pool.fetchrow(GET, *[values.get(name, get_known.get(name)) for name in get_names])
    return Response(orjson.dumps(image_body(row, BASE), option=orjson.OPT_UTC_Z), media_type="application/json")

@app.get("/images")
async def list_():
    values = {"team_id": TEAM, "limit": 51}
    rows = await app.state.pool.fetch(LIST, *[values.get(name, list_known.get(name)) for name in list_names])
    body = {"items": [listed_body(row) for row in rows[:50]], "next_cursor": None}
    return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), media_type="application/json")

uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False, log_level="error")
"""


async def fill_team(database_url: str, team: str) -> list[UUID]:
    """Gives a team 20,000 images with derivatives; returns 2,000 of the ids."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(_FILL, UUID(team), _ROWS)
    await connection.execute("ANALYZE")
    rows = await connection.fetch("SELECT id FROM image LIMIT 2000")
    await connection.close()
    return [row["id"] for row in rows]


def _request(path: str, key: str) -> list[bytes]:
    return [f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\n\r\n".encode()]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(describe("fastapi", "asyncpg", "orjson", "uvicorn"))
    with running_system() as system:
        team, key = new_member(system, "Reads")
        image_ids = asyncio.run(fill_team(system["database_url"], team))
        port = "18999"
        environment = {**os.environ, "TEAM": team, "DATABASE_URL": system["database_url"], "PORT": port}
        environment |= {"PUBLIC_BASE_URL": system["url"], "PYTHONDONTWRITEBYTECODE": ""}
        bare = subprocess.Popen([sys.executable, "-c", BARE], env=environment)
        try:
            bare_url = f"http://127.0.0.1:{port}"
            wait_for_port(bare_url)
            _measure(system, bare.pid, bare_url, key, image_ids, options)
        finally:
            bare.terminate()


def _measure(
    system: dict[str, Any], bare_pid: int, bare_url: str, key: str, image_ids: list[UUID], options: argparse.Namespace
) -> None:
    ids = [image_ids[n % len(image_ids)] for n in range(options.requests)]
    lists, ours, of_api = options.requests // 4, system["url"], system["pids"]["image_api"]
    whole = f"/api/v1/images?include={_DETAILS}"
    sides = {
        "get, ours": (ours, of_api, [_request(f"/api/v1/images/{i}", key) for i in ids]),
        "get, bare": (bare_url, bare_pid, [_request(f"/images/{i}", key) for i in ids]),
        "list of 50, ours": (ours, of_api, [_request("/api/v1/images", key)] * lists),
        "list of 50, bare": (bare_url, bare_pid, [_request("/images", key)] * lists),
        "list of 50, details": (ours, of_api, [_request(whole, key)] * lists),
    }
    best, of_database = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0.0)
    for _ in range(options.rounds + 1):  # the first round warms up; it is never the best
        for name, (url, process_id, requests) in sides.items():
            before = cpu_seconds(process_id), child_cpu_seconds(system["pids"]["postgres"])
            asyncio.run(repeat(url, requests, 16))
            best[name] = max(best[name], len(requests) / (cpu_seconds(process_id) - before[0]))
            database = child_cpu_seconds(system["pids"]["postgres"]) - before[1]
            of_database[name] = max(of_database[name], len(requests) / database)
    for name, rate in best.items():
        print(f"{name:20} {rate:8.0f} requests per second of server CPU, {of_database[name]:8.0f} of PostgreSQL's")
    for what in ("get", "list of 50"):
        print(f"{what:20} {best[f'{what}, ours'] / best[f'{what}, bare']:8.2f} of the bare endpoint")
    for path in ("/api/v1/images", whole):
        print(f"{body_size(ours + path, key):8,} bytes {path}")
    print(f"database: {urlsplit(system['database_url']).hostname}, {_ROWS} rows")


if __name__ == "__main__":
    main()
