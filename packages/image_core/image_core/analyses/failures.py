"""The consequences of a failed analysis, shared by everything that can end one."""

from uuid import UUID

from image_core import events
from image_core.billing import credits
from image_core.db import Transaction
from image_core.events import EventType
from image_core.models import analysis

COLUMNS = (analysis.c.id, analysis.c.team_id, analysis.c.analyzer, analysis.c.reservation_id)
"""The columns that `refund_and_record` needs."""


async def refund_and_record(
    transaction: Transaction, analysis_id: UUID, team_id: UUID, analyzer: str, reservation_id: UUID | None, code: str
) -> None:
    """Refund the price and record the failure event, in the transaction that ends the analysis."""
    if reservation_id is not None:
        await credits.refund(transaction, reservation_id)
    payload = {"analysis_id": str(analysis_id), "analyzer": analyzer, "code": code}
    await events.record(transaction, events.team_event(EventType.ANALYSIS_FAILED, team_id, payload))
