"""The rules of lists of images: how a page is found."""

from collections.abc import Collection, Sequence

from image_api.actor import Actor
from image_api.http.pagination import decode_cursor
from image_api.images.columns import INCLUDED_COLUMNS
from image_api.listing import queries
from image_api.listing.filters.conditions import conditions
from image_api.listing.filters.metadata import MetadataFilter
from image_api.listing.filters.results import ResultCondition
from image_api.listing.schemas import ImageFilters
from image_core.db import Record, Runner


async def list_images(
    runner: Runner,
    actor: Actor,
    filters: ImageFilters,
    on_metadata: Sequence[MetadataFilter],
    on_results: Sequence[ResultCondition],
    included: Collection[str] = (),
) -> tuple[list[Record], int | None]:
    """Return a page of images plus one extra row, if there are more, and the number of all matches if requested.

    The rows have the columns of what is `included`.

    Raises:
        errors.FilterUnknown: The filter does not exist.
        errors.FilterInvalid: The filter is not valid.
    """
    names, values = await conditions(runner, actor, filters, on_metadata, on_results)
    total = await queries.count(runner, frozenset(names), values) if filters.include_total else None
    if filters.cursor is not None:
        cursor = decode_cursor(filters.cursor)
        names.add("cursor")
        values |= {"cursor_at": cursor.created_at, "cursor_id": cursor.row_id}
    values, columns = {"limit": filters.limit + 1, **values}, frozenset(INCLUDED_COLUMNS.keys() & set(included))
    if "terms" not in names:
        return await queries.page(runner, frozenset(names), values, columns), total
    without_terms = frozenset(name for name in names if not name.startswith("terms"))
    rows = await queries.page_near(runner, without_terms, values, columns)
    if len(rows) <= filters.limit:
        # Older images may match as well; terms find them however rare they are.
        rows = await queries.page_by_terms(runner, frozenset(names), values, columns)
    return rows, total
