"""The rules of reading the audit log: an admin of the platform may, nobody else."""

from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
import orjson

from image_api.actor import Actor, require_admin
from image_api.audit_events import queries
from image_api.audit_events.schemas import MAX_POSITION, AuditExportFilters, AuditPageFilters
from image_api.http.pagination import decode_cursor, page_of
from image_core.audit.events import line
from image_core.db import Record, Runner

_BATCH = 500


async def list_audit_events(runner: Runner, actor: Actor, filters: AuditPageFilters) -> dict[str, Any]:
    """A page of the log. Raises `errors.RoleMissing`, `errors.CursorInvalid`."""
    require_admin(actor)
    cursor = None if filters.cursor is None else decode_cursor(filters.cursor)
    page = page_of(await queries.page(runner, filters.conditions(), cursor, filters.limit + 1), filters.limit)
    for item in page["items"]:
        item |= {name: item[name] and orjson.loads(item[name]) for name in ("before", "after")}
    return page


async def export_audit_events(runner: Runner, actor: Actor, filters: AuditExportFilters) -> AsyncIterator[bytes]:
    """Return the canonical lines of the log in its order, a batch at a time, up to the newest seal.

    Rows after it may still get neighbours before them, which `after_position` would pass over: they are exported only
    where `unsealed` is asked for. The first batch is there before the answer begins, so that a database that is away
    is still told as such.

    Raises:
        errors.RoleMissing: The caller is no admin.
    """
    require_admin(actor)
    conditions = filters.conditions()
    last = MAX_POSITION if filters.unsealed else await queries.sealed_position(runner)
    first = await queries.after_position(runner, conditions, filters.after_position, last, _BATCH)
    return _lines(runner, conditions, last, first)


def _joined(rows: list[Record]) -> bytes:
    return b"".join(line(row) for row in rows)


async def _lines(runner: Runner, conditions: dict[str, Any], last: int, rows: list[Record]) -> AsyncIterator[bytes]:
    while rows:
        yield await anyio.to_thread.run_sync(_joined, rows)
        if len(rows) < _BATCH:
            return
        rows = await queries.after_position(runner, conditions, rows[-1]["position"], last, _BATCH)
