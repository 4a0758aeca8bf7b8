"""The SQL of the audit log. Only admins of the platform read it, so the team is a filter like any other."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, bindparam, cast, func, select

from image_api.http.pagination import Cursor, newest_first
from image_core.audit.events import LINE_COLUMNS, VERIFICATION_ID
from image_core.db import Query, Record, Runner
from image_core.models import audit_event, audit_seal


def _condition(name: str, value: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool]
    if name == "created_after":
        found = audit_event.c.created_at >= value
    elif name == "created_before":
        found = audit_event.c.created_at < value
    elif name == "action" and value.endswith("*"):
        found = func.starts_with(audit_event.c.action, value.removesuffix("*"))
    else:
        found = audit_event.c[name] == value
    return found


async def page(runner: Runner, conditions: dict[str, Any], cursor: Cursor | None, limit: int) -> list[Record]:
    """Return audit events, newest first."""
    statement = select(*LINE_COLUMNS).where(*(_condition(name, value) for name, value in conditions.items()))
    return await runner.fetch(newest_first(statement, audit_event.c.created_at, audit_event.c.id, cursor, limit))


_newest_seal = Query(
    select(audit_seal.c.number, audit_seal.c.last_position, audit_seal.c.created_at)
    .order_by(audit_seal.c.number.desc())
    .limit(1)
)
_unsealed = (
    select(audit_event.c.created_at)
    .where(audit_event.c.position > bindparam("position", type_=BigInteger))
    .order_by(audit_event.c.position)
    .limit(bindparam("most"))
    .subquery()
)
_count_unsealed = Query(select(func.count(), func.min(_unsealed.c.created_at)).select_from(_unsealed))
_newest_verification = Query(
    select(audit_event.c.action, cast(audit_event.c.after, Text).label("after"), audit_event.c.created_at)
    .where(audit_event.c.target_id == VERIFICATION_ID)
    .order_by(audit_event.c.created_at.desc(), audit_event.c.id.desc())
    .limit(1)
)


async def newest_seal(runner: Runner) -> Record | None:
    """Return the newest seal; None if nothing is sealed."""
    return await runner.fetch_one(_newest_seal)


async def count_unsealed(runner: Runner, position: int, most: int) -> tuple[int, datetime | None]:
    """Return how many events follow a position, at most `most`, and the time of the oldest."""
    row = await runner.fetch_one(_count_unsealed, position=position, most=most)
    return (0, None) if row is None else (row[0], row[1])


async def newest_verification(runner: Runner) -> Record | None:
    """Return the event of the newest verification of the chain; None if none is recorded."""
    return await runner.fetch_one(_newest_verification)


async def sealed_position(runner: Runner) -> int:
    """Return the last position of the newest seal, 0 if there is none: no new row can appear up to it."""
    return int(await runner.fetch_value(select(func.max(audit_seal.c.last_position))) or 0)


async def after_position(
    runner: Runner, conditions: dict[str, Any], position: int, last: int, limit: int
) -> list[Record]:
    """Return audit events after a position and up to another, in the order of the log."""
    return await runner.fetch(
        select(*LINE_COLUMNS)
        .where(
            audit_event.c.position > position,
            audit_event.c.position <= last,
            *(_condition(name, value) for name, value in conditions.items()),
        )
        .order_by(audit_event.c.position)
        .limit(limit)
    )
