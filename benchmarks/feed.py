"""Reading the feed out of a million events: a page, a read at its end, the poll of an instance, and what events cost.

    uv run --frozen python -m benchmarks.feed [--events 1000000]

Beside a page stands the plainest query of as many rows by their primary key. Writing an event is compared with the same
table without the two indexes of the feed.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from sqlalchemy import bindparam, select, text

from benchmarks.machine import describe
from image_core import events
from image_core.db import Database, DatabaseConfig, Query, migration_engine
from image_core.events import EventType, image_event
from image_core.feed import reading
from image_core.feed.reading import Position
from image_core.ids import new_id
from image_core.migrations import runner
from image_core.models import event
from local_cloud.postgres.database import prepare_database
from local_cloud.postgres.server import PostgresServer

_TEAMS, _ROUNDS, _PAGE = 100, 200, 200
_FILL = """
INSERT INTO event (id, topic, type, team_id, image_id, payload, published_at)
SELECT gen_random_uuid(), 'events', 'image.ready',
  ('00000000-0000-7000-8000-' || lpad(mod(n, :teams)::text, 12, '0'))::uuid, gen_random_uuid(),
  '{"revision": 4, "width": 4000, "height": 3000, "presets": ["thumb", "preview", "large"]}', now()
FROM generate_series(1, :events) n
"""
_by_key = Query(select(event).where(event.c.id > bindparam("after")).order_by(event.c.id).limit(_PAGE))


async def _median_ms(call: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


async def _write(database: Database, team_id: UUID) -> None:
    async with database.transaction() as transaction:
        await events.record(transaction, image_event(EventType.IMAGE_CREATED, new_id(), team_id, 1))


async def _measure(api_url: str, owner_url: str) -> None:
    database, owner = Database(DatabaseConfig(url=api_url)), Database(DatabaseConfig(url=owner_url))
    await database.open()
    await owner.open()
    team_id = UUID(f"00000000-0000-7000-8000-{1:012}")
    start, end = Position(1, 0), await reading.newest(database)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        f"{_PAGE} rows by their key": lambda: database.fetch(_by_key, after=UUID(int=0)),
        f"a page of {_PAGE}, of all teams": lambda: reading.read(database, None, start, _PAGE),
        f"a page of {_PAGE}, of one team in {_TEAMS}": lambda: reading.read(database, team_id, start, _PAGE),
        "a read at the end": lambda: reading.read(database, team_id, end, _PAGE),
        "the poll of an instance": lambda: reading.new_events(database, end, _PAGE),
        "an event in a transaction of its own": lambda: _write(database, team_id),
    }
    for name, call in calls.items():
        print(f"{name}: {await _median_ms(call):.2f} ms")
    for index in ("ix_event_feed", "ix_event_team_feed"):
        await owner.fetch(text(f"DROP INDEX {index}"))
    print(f"the same without the feed's indexes: {await _median_ms(lambda: _write(database, team_id)):.2f} ms")
    await database.close()
    await owner.close()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
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
            with engine.begin() as connection:
                connection.execute(text(_FILL), {"teams": _TEAMS, "events": options.events})
            with engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE event"))
            asyncio.run(_measure(urls.api, urls.owner))
        finally:
            server.remove()


if __name__ == "__main__":
    main()
