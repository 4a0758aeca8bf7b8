"""The check of the chain, against seals that fit their own hashes."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.event import listens_for

from image_core.audit import chain
from image_core.audit import events as audit
from image_core.audit.chain import ChainBroken, ChainReport, check_chain
from image_core.audit.events import FIRST_PREVIOUS_HASH, LINE_COLUMNS, AuditEvent, RowsHash, Seal
from image_core.db import Database, DatabaseConfig, migration_engine
from image_core.models import audit_event, audit_seal


async def seal(rows: Database, number: int, previous_hash: bytes, after: int, through: int) -> bytes:
    """Add a seal over a span, hashed as whoever may write every table could hash it, and return its hash."""
    hashed = RowsHash()
    span = select(*LINE_COLUMNS).where(audit_event.c.position > after, audit_event.c.position <= through)
    hashed.add(await rows.fetch(span.order_by(audit_event.c.position)))
    columns: dict[str, Any] = {
        "number": number, "previous_hash": previous_hash, "after_position": after, "last_position": through,
        "row_count": hashed.row_count, "rows_hash": hashed.digest(), "created_at": datetime.now(UTC),
    }  # fmt: skip
    digest = Seal(**columns).hash
    await rows.execute(insert(audit_seal).values(**columns, hash=digest))
    return digest


def check(owner_url: str) -> ChainReport:
    with migration_engine(DatabaseConfig(url=owner_url)).connect() as connection:
        return check_chain(connection)


@pytest.fixture
async def positions(rows: Database) -> list[int]:
    """Return the positions of three rows of the log."""
    async with rows.transaction() as transaction:
        for action in ("a", "b", "c"):
            await audit.write(transaction, AuditEvent(action, "thing"))
    found = await rows.fetch(select(audit_event.c.position).order_by(audit_event.c.position))
    return [row["position"] for row in found]


async def test_seals_that_follow_one_another_hold(rows: Database, urls: Any, positions: list[int]) -> None:
    first, _, third = positions
    digest = await seal(rows, 1, FIRST_PREVIOUS_HASH, 0, first)
    digest = await seal(rows, 2, digest, first, third)
    assert check(urls.owner) == ChainReport(2, 3, 0, f"2:{digest.hex()}")


async def test_a_seal_that_leaves_out_a_span_breaks_the_chain(rows: Database, urls: Any, positions: list[int]) -> None:
    first, second, third = positions
    digest = await seal(rows, 1, FIRST_PREVIOUS_HASH, 0, first)
    await seal(rows, 2, digest, second, third)
    with pytest.raises(ChainBroken, match="Seal 2: it does not continue"):
        check(urls.owner)


async def test_a_seal_that_names_another_hash_before_it_breaks_the_chain(
    rows: Database, urls: Any, positions: list[int]
) -> None:
    first, _, third = positions
    await seal(rows, 1, FIRST_PREVIOUS_HASH, 0, first)
    await seal(rows, 2, hashlib.sha256(b"another").digest(), first, third)
    with pytest.raises(ChainBroken, match="Seal 2: it does not continue"):
        check(urls.owner)


async def test_rows_and_seals_are_read_in_batches(
    rows: Database, urls: Any, positions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "_BATCH", 1)
    first, _, third = positions
    digest = await seal(rows, 1, FIRST_PREVIOUS_HASH, 0, first)
    await seal(rows, 2, digest, first, third)
    engine, counts = migration_engine(DatabaseConfig(url=urls.owner)), []

    @listens_for(engine, "after_cursor_execute")
    def count(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "LIMIT" in statement or "ORDER BY" in statement:
            counts.append(cursor.rowcount)

    with engine.connect() as connection:
        assert check_chain(connection).rows == 3
    assert max(counts) == 1


async def test_a_batch_of_a_span_begins_and_ends_where_it_is_told(rows: Database, positions: list[int]) -> None:
    first, second, third = positions
    for after, through, most, expected in (
        (0, third, 10, [first, second, third]), (first, third, 10, [second, third]), (0, second, 10, [first, second]),
        (0, third, 1, [first]),
    ):  # fmt: skip
        found = await rows.fetch(audit.after_position, after=after, through=through, limit=most)
        assert [row["position"] for row in found] == expected
