"""Turns the feed into deliveries, from a stored position, so that no event is missed."""

from datetime import datetime

from image_api.tasks.parts import TaskParts
from image_api.webhooks.sending import queries
from image_core.db import Transaction
from image_core.feed import reading
from image_core.feed.event_types import SENT_TYPES
from image_core.telemetry import log

BATCH = 200


async def fan_out(parts: TaskParts, now: datetime) -> int:
    """Add what the feed has, until a read finds nothing more; return how many deliveries were added.

    While somebody else does so, nothing is done: they read again after whatever is committed by now.
    """
    total = 0
    while True:
        async with parts.database.transaction() as transaction:
            if not await queries.try_to_lead(transaction):
                return total
            # Read after the position was taken: an event that is committed later is left to whoever comes next.
            read, added = await _add_page(transaction, now)
        total += added
        if not read:
            return total


async def _add_page(transaction: Transaction, now: datetime) -> tuple[int, int]:
    """Add the next page; return how many events were read, and how many deliveries added."""
    position = await queries.position(transaction)
    page = await reading.read(transaction, None, position, BATCH)
    if not page.is_complete:
        log("webhook_events_missed", severity="ERROR")
        page = await reading.read(transaction, None, reading.Position(0, 0), BATCH)
    event_ids = [event.event_id for event in page.events if event.type in SENT_TYPES and event.team_id is not None]
    added = await queries.add_deliveries(transaction, event_ids, now) if event_ids else 0
    if page.next_position != position:
        await queries.move(transaction, page.next_position)
    return len(page.events), added
