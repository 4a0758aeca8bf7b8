"""The rules of reading the audit log: only an admin of the platform may."""

from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
import orjson

from image_api.actor import Actor, require_admin
from image_api.audit_events import queries
from image_api.audit_events.schemas import MAX_POSITION, MAX_UNSEALED, AuditExportFilters, AuditPageFilters
from image_api.http.pagination import decode_cursor, page_of
from image_core.audit.events import VERIFIED, line
from image_core.db import Record, Runner

_BATCH = 500


async def list_audit_events(runner: Runner, actor: Actor, filters: AuditPageFilters) -> dict[str, Any]:
    """Return a page of the log.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.CursorInvalid: The cursor is not valid.
    """
    require_admin(actor)
    cursor = None if filters.cursor is None else decode_cursor(filters.cursor)
    page = page_of(await queries.page(runner, filters.conditions(), cursor, filters.limit + 1), filters.limit)
    for item in page["items"]:
        item |= {name: item[name] and orjson.loads(item[name]) for name in ("before", "after")}
    return page


async def get_chain(runner: Runner, actor: Actor) -> dict[str, Any]:
    """Return the newest seal, what follows it, and the newest verification; nothing is recomputed.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
    """
    require_admin(actor)
    seal = await queries.newest_seal(runner)
    count, oldest_at = await queries.count_unsealed(runner, seal["last_position"] if seal else 0, MAX_UNSEALED + 1)
    found = await queries.newest_verification(runner)
    return {
        "newest_seal": seal and {
            "number": seal["number"], "last_position": seal["last_position"],
            "sealed_at": seal["created_at"],
        },
        "unsealed_events": min(count, MAX_UNSEALED), "at_least": count > MAX_UNSEALED, "oldest_unsealed_at": oldest_at,
        "verification": found and _verification(found),
    }  # fmt: skip


def _verification(event: Record) -> dict[str, Any]:
    after, is_intact = orjson.loads(event["after"]), event["action"] == VERIFIED
    # Of an intact chain `number:hash`, null if nothing was sealed.
    seal = (after["newest_seal"] or "0").partition(":")[0] if is_intact else after["seal"]
    return {
        "intact": is_intact, "seal": int(seal), "reason": after.get("reason"), "verified_at": event["created_at"],
    }  # fmt: skip


async def export_audit_events(runner: Runner, actor: Actor, filters: AuditExportFilters) -> AsyncIterator[bytes]:
    """Return the canonical lines of the log in order, a batch at a time, up to the newest seal.

    Transactions that commit late may still add rows before later ones, and a client that continues with
    `after_position` would miss them: unsealed rows are exported only if `unsealed` is set. The first batch is read
    before the response begins, so that an unavailable database still results in an error response.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
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
