"""Each row of the table of transitions against what the services' SQL really does."""

import inspect
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from image_api.images import queries as image_queries
from image_api.images import service
from image_api.uploads import queries as upload_queries
from image_core import states, testing
from image_core.db import Database, DatabaseConfig
from image_core.models import HOLDS_BYTES_CLAUSE, image
from image_core.states import TRANSITIONS, ImageStatus, Mover
from image_processor.housekeeping import sweep_queries
from image_processor.images import queries

S = ImageStatus
LEASE = timedelta(seconds=60)
PAST = datetime(2020, 1, 1, tzinfo=UTC)
STATUSES = tuple(ImageStatus)


@pytest.fixture
async def api_database(urls: Any) -> Any:
    database = Database(DatabaseConfig(url=urls.api))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def processor_database(urls: Any) -> Any:
    database = Database(DatabaseConfig(url=urls.processor))
    await database.open()
    yield database
    await database.close()


async def api_moves(database: Database, image_id: UUID, team_id: UUID) -> list[Any]:
    async def complete() -> None:
        known = {"bytes": 5, "digest": testing.a_sha256("new"), "object_generation": 7}
        await upload_queries.complete(database, image_id, **known, name=None, labels=[], pairs="{}")

    async def expire() -> None:
        async with database.transaction() as transaction:
            await upload_queries.expire(transaction, image_id, "upload-broken-off", "x")

    async def process_again() -> None:
        async with database.transaction() as transaction:
            old = await image_queries.lock(transaction, team_id, image_id)
            if old is not None and old["status"] in (S.READY, S.FAILED):
                await service.process_again(transaction, old, "bucket", "")

    return [complete, expire, process_again]


async def processor_moves(database: Database, image_id: UUID, row: Any) -> list[Any]:
    claimed = queries.Claim(
        image_id, row["team_id"], "", testing.GENERATION, 1, b"", row["claim_token"], row["id"], "", True, None
    )

    async def in_transaction(call: Any) -> None:
        async with database.transaction() as transaction:
            await call(transaction)

    async def finish(transaction: Any) -> None:
        ready = {"width": 1, "height": 1, "frames": 1}
        await queries._move(transaction, claimed, status=S.READY, ready_at=row["created_at"], **ready)

    calls = [
        lambda t: queries.mark_stored(t, image_id, testing.GENERATION, 5, testing.a_sha256("x")),
        lambda t: queries.expire(t, image_id, "duplicate", "x", None),
        lambda t: queries.claim(t, image_id, testing.GENERATION, 5, LEASE),
        finish,
        lambda t: queries.fail(t, claimed, "image-truncated", "x"),
        lambda t: queries.release(t, claimed, counted=False),
        lambda t: queries.fail_exhausted(t, image_id, row["attempts"]),
    ]
    return [lambda call=call: in_transaction(call) for call in calls]


async def sweep_moves(database: Database, image_id: UUID, row: Any) -> list[Any]:
    async def expire() -> None:
        async with database.transaction() as transaction:
            await sweep_queries.expire_overdue(transaction, image_id, row["object_name"], LEASE)

    async def requeue() -> None:
        async with database.transaction() as transaction:
            await sweep_queries.requeue(transaction, LEASE, 5, 10)

    async def exhausted() -> None:
        async with database.transaction() as transaction:
            await sweep_queries.fail_exhausted(transaction, LEASE, row["attempts"], 10)

    return [expire, requeue, exhausted]


async def moves_of(mover: Mover, databases: Any, image_id: UUID, row: Any) -> list[Any]:
    api, processor = databases
    if mover is Mover.API:
        return await api_moves(api, image_id, row["team_id"])
    return await (processor_moves if mover is Mover.PROCESSOR else sweep_moves)(processor, image_id, row)


async def _reached(
    rows: Database, databases: Any, mover: Mover, team_id: UUID, status: ImageStatus, columns: dict[str, Any]
) -> set[ImageStatus]:
    """Make each of the mover's moves on an image of its own, and return where they led."""
    reached: set[ImageStatus] = set()
    number = 0
    while True:
        image_id = await testing.add_image(rows, team_id, status, **columns)
        row = await rows.fetch_one(select(image).where(image.c.id == image_id))
        moves = await moves_of(mover, databases, image_id, row)
        if number == len(moves):
            return reached
        await moves[number]()
        moved = await rows.fetch_one(select(image).where(image.c.id == image_id))
        # A row that keeps its status has still moved if it was queued or claimed anew.
        if any(moved[name] != row[name] for name in ("status", "queued_at", "claim_token")):
            reached.add(ImageStatus(moved["status"]))
        await rows.execute(image.delete())
        number += 1


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("mover", tuple(Mover))
async def test_each_moves_an_image_only_as_the_table_says(
    rows: Database, api_database: Database, processor_database: Database, mover: Mover, status: ImageStatus
) -> None:
    team_id = await testing.add_team(rows)
    databases = api_database, processor_database
    # A lease that is over and a long wait, so that whoever may take the row can.
    columns: dict[str, Any] = {"queued_at": PAST} | ({"lease_expires_at": PAST} if status is S.PROCESSING else {})
    reached = await _reached(rows, databases, mover, team_id, status, columns)
    if status in (S.STORED, S.PROCESSING):
        was_ready = {"ready_at": PAST, "width": 1, "height": 1, "frames": 1}
        reached |= await _reached(rows, databases, mover, team_id, status, columns | was_ready)
    allowed = {to for (start, to), movers in TRANSITIONS.items() if start == status and mover in movers}
    # The sweep leaves `pending` to the processor's own transition: it publishes the lost event.
    allowed -= {S.STORED} if (mover, status) == (Mover.SWEEP, S.PENDING) else set()
    assert reached == allowed


def test_every_state_but_the_final_ones_can_be_left() -> None:
    left = {start for start, _ in TRANSITIONS}
    assert {None, *STATUSES} - left == {S.EXPIRED}
    assert set(states.FINAL) >= {S.EXPIRED}


def test_the_states_in_the_sql_are_those_that_hold_bytes() -> None:
    in_sql = set(re.findall(r"'(\w+)'", str(HOLDS_BYTES_CLAUSE.compile(compile_kwargs={"literal_binds": True}))))
    assert in_sql == {str(status) for status in states.HOLDS_BYTES}


def test_the_table_is_the_only_place_of_its_kind() -> None:
    assert len(re.findall(r"^TRANSITIONS", inspect.getsource(states), re.MULTILINE)) == 1
