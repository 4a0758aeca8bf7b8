"""The seals of the audit log: each hashes the rows since the previous seal, and that seal's own hash.

A row that is committed late has an earlier position than rows that are visible already. A seal therefore reaches only
up to a position before which no running transaction can still add a row: a transaction gets its id before it draws
positions, so the sweep takes an id after it has seen the newest position, and waits until all lower ids have ended. No
transaction id is stored, so a database that is restored into a server with other ids can be sealed as well.
"""

import asyncio
from datetime import timedelta

from sqlalchemy import bindparam, func, insert, literal_column, select, text

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import Budget
from image_core.audit import events as audit
from image_core.audit.events import FIRST_PREVIOUS_HASH, RowsHash, Seal
from image_core.db import Database, Query, Transaction
from image_core.models import audit_seal
from image_core.telemetry import log

_MAX_ROWS = 10_000
_BATCH = 500
_MAX_SEALS = 20
_INTERVAL = timedelta(minutes=1)
_PATIENCE_SECONDS = 5.0
_LOCK = 0x7365616C  # "seal"

_newest_position = Query(
    text("SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM audit_event_position_seq").columns()
)
_own_number = Query(text("SELECT pg_current_xact_id()::text::bigint"))
_oldest_open_number = Query(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"))
_try_lock = Query(select(func.pg_try_advisory_xact_lock(literal_column(str(_LOCK)))))
_newest_seal = Query(
    select(
        audit_seal.c.number, audit_seal.c.hash, audit_seal.c.last_position, audit_seal.c.row_count,
        audit_seal.c.created_at, func.clock_timestamp().label("now"),
    ).order_by(audit_seal.c.number.desc()).limit(1)
)  # fmt: skip
_now = select(func.now())
_add_seal = Query(insert(audit_seal).values({column.name: bindparam(column.name) for column in audit_seal.c}))


async def seal(parts: TaskParts, _budget: Budget) -> int:
    """Seal the rows written since the last seal."""
    return await seal_audit_log(parts.database)


async def seal_audit_log(
    database: Database,
    *,
    interval: timedelta = _INTERVAL,
    patience_seconds: float = _PATIENCE_SECONDS,
    max_rows: int = _MAX_ROWS,
) -> int:
    """Seal the rows written since the last seal, at most once per `interval`; return the number of seals made.

    None is made while a transaction that may still add to the span stays open; the next sweep tries again.
    """
    through = await _settled_position(database, patience_seconds)
    if through is None:
        log("audit_seal_put_off", severity="WARNING")
        return 0
    made = 0
    while made < _MAX_SEALS:
        async with database.transaction() as transaction:
            sealed = await _seal_next(transaction, through, interval, max_rows)
        if sealed is None:
            break
        # The log keeps the hash out of reach of anybody who could rewrite the whole chain.
        log(
            audit.SEALED_LOG_EVENT, number=sealed.number, hash=sealed.hash.hex(), row_count=sealed.row_count,
            last_position=sealed.last_position,
        )  # fmt: skip
        made += 1
    return made


async def _settled_position(database: Database, patience_seconds: float) -> int | None:
    """Return a position before which no open transaction can add rows; None if there is none within the time limit."""
    async with database.transaction() as transaction:
        position: int = await transaction.fetch_value(_newest_position)
        number: int = await transaction.fetch_value(_own_number)
    deadline = asyncio.get_running_loop().time() + patience_seconds
    while await database.fetch_value(_oldest_open_number) < number:
        if asyncio.get_running_loop().time() >= deadline:
            return None
        await asyncio.sleep(0.05)
    return position


async def _seal_next(transaction: Transaction, through: int, interval: timedelta, max_rows: int) -> Seal | None:
    """Add the next seal; return None if it is too early, nothing is new, or another sweep is sealing."""
    if not await transaction.fetch_value(_try_lock):
        return None
    newest = await transaction.fetch_one(_newest_seal)
    number, previous_hash, after = 1, FIRST_PREVIOUS_HASH, 0
    if newest is not None:
        if newest["now"] - newest["created_at"] < interval and newest["row_count"] < max_rows:
            return None
        number, previous_hash, after = newest["number"] + 1, newest["hash"], newest["last_position"]
    hashed = RowsHash()
    while hashed.row_count < max_rows:
        limit = min(_BATCH, max_rows - hashed.row_count)
        rows = await transaction.fetch(
            audit.after_position, after=hashed.last_position or after, through=through, limit=limit
        )
        hashed.add(rows)
        if len(rows) < limit:
            break
    if hashed.last_position is None:
        return None
    now = await transaction.fetch_value(_now)
    seal = Seal(number, previous_hash, after, hashed.last_position, hashed.row_count, hashed.digest(), now)
    await transaction.execute(
        _add_seal, number=number, previous_hash=previous_hash, after_position=after, last_position=seal.last_position,
        row_count=seal.row_count, rows_hash=seal.rows_hash, hash=seal.hash, created_at=now,
    )  # fmt: skip
    return seal
