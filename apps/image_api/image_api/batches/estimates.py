"""The kinds of operations that are batches, and what images add to their estimates."""

from collections.abc import Iterable
from uuid import UUID

from image_api.analyses import queries as analyses
from image_api.analyses.queries import Order
from image_api.operations.items import NewItem
from image_core.analyses.catalogue import price_credits
from image_core.db import Record, Runner
from image_core.states import HOLDS_BYTES, ImageStatus

CHANGES, ANALYSES = "batch", "analyze"
SECONDS_PER_CHANGE, SECONDS_PER_ANALYSIS = 0.01, 0.2
_ANALYZABLE = frozenset(HOLDS_BYTES) - {ImageStatus.FAILED}


async def to_items(runner: Runner, team_id: UUID, rows: Iterable[Record], order: Order | None) -> list[NewItem]:
    """Return images as items, with their sizes, and the price of what `order` asks for where it is not stored.

    The rows have `id`, `size_bytes`, `sha256` and `status`.
    """
    images = list(rows)
    if order is None:
        return [NewItem(row["id"], size_bytes=row["size_bytes"] or 0) for row in images]
    digests = {row["sha256"] for row in images if row["status"] in _ANALYZABLE}
    unpaid = digests - (await analyses.ids_by_content(runner, team_id, digests, order)).keys()
    price = price_credits(order.analyzer, order.version)
    return [
        NewItem(row["id"], size_bytes=row["size_bytes"] or 0, credits=price if row["sha256"] in unpaid else 0)
        for row in images
    ]
