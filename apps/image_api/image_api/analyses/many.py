"""Analyses of many files of one team, requested and paid for in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from image_api.actor import Actor
from image_api.analyses import queries
from image_api.analyses.queries import ContentKey, Order
from image_core import errors, events
from image_core.analyses.catalogue import price_credits
from image_core.billing import credits
from image_core.db import Database, Transaction
from image_core.events import Publisher
from image_core.ids import new_id
from image_core.telemetry import current_request


@dataclass
class ManyAnalyses:
    """Analyses of many files.

    Attributes:
        known: by SHA-256, the analyses that are done or in progress, including the new ones.
        new: SHA-256 of the files whose analysis was requested, and paid for, by this call.
        refused: why the others have no analysis.
    """

    known: dict[bytes, UUID]
    new: set[bytes]
    refused: errors.CreditsExhausted | None = None


class Unpaid(Exception):
    """The credits do not suffice for `unpaid`. The transaction is to be rolled back."""

    def __init__(self, unpaid: Sequence[bytes], error: errors.CreditsExhausted) -> None:
        super().__init__()
        self.unpaid, self.error = frozenset(unpaid), error


async def request_many(
    database: Database, publisher: Publisher, actor: Actor, team_id: UUID, digests: Sequence[bytes], order: Order
) -> ManyAnalyses:
    """Request the analysis of each file that has none, in order, as far as the team's credits suffice."""
    found = ManyAnalyses(await queries.ids_by_content(database, team_id, digests, order), set())
    missing = [digest for digest in digests if digest not in found.known]
    while missing:
        try:
            async with events.committing(database, publisher) as transaction:
                added = await write_requests(transaction, actor, team_id, missing, order)
        except Unpaid as exhausted:
            found.refused = exhausted.error
            missing = [digest for digest in missing if digest not in exhausted.unpaid]
            continue
        found.new = set(added)
        # Including those that were requested concurrently, which whoever requested them has paid for.
        found.known |= await queries.ids_by_content(database, team_id, missing, order)
        break
    return found


async def write_requests(
    transaction: Transaction, actor: Actor, team_id: UUID, digests: Sequence[bytes], order: Order
) -> dict[bytes, UUID]:
    """Write the requests with their messages and reserve their price; return the analyses that are new, by SHA-256.

    Raises:
        Unpaid: The team does not have enough credits. The transaction is rolled back.
    """
    context = current_request.get()
    trace_parent = context.trace_parent if context else None
    added: dict[bytes, tuple[UUID, UUID]] = {}
    # In a fixed order, because two calls may wait for each other's rows.
    for digest in sorted(digests):
        reservation_id = new_id()
        row = await queries.add(
            transaction, ContentKey(team_id, digest), order, reservation_id, requested_by=actor.user_id,
            trace_parent=trace_parent,
        )  # fmt: skip
        if row is not None:
            added[digest] = row["id"], reservation_id
    # Only now: ending an analysis locks its row first and the account second.
    paid = [digest for digest in digests if digest in added]
    price = price_credits(order.analyzer, order.version)
    for number, digest in enumerate(paid):
        analysis_id, reservation_id = added[digest]
        try:
            await credits.reserve(transaction, team_id, price, f"analyze:{order.analyzer}", reservation_id)
        except errors.CreditsExhausted as error:
            raise Unpaid(paid[number:], error) from error
        await events.record(transaction, events.analysis_request(analysis_id, team_id, trace_parent))
    return {digest: analysis_id for digest, (analysis_id, _) in added.items()}
