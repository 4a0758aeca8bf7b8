"""The list of images as a table: its rows, and links that sort it."""

from collections.abc import Sequence
from typing import Any

from image_api.actor import Actor
from image_api.console.pages.images.sheets import IMAGES, VIEW, Sheet, list_address
from image_api.listing.orders import parse_order
from image_api.services import Services
from image_api.users import service as users
from image_core.db import Record
from image_core.storage.sizes import format_size

TABLE = "table"
_BY_TIME = ("created_at", "taken_at")


async def with_facts(
    services: Services, actor: Actor, rows: Sequence[Record], tiles: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what the table shows of images, beside what the grid shows of them."""
    names = await users.user_names(services.database, actor, {row["uploaded_by"] for row in rows} - {None})
    return [
        {**tile, **_facts(row), "uploader": names.get(row["uploaded_by"])}
        for tile, row in zip(tiles, rows, strict=True)
    ]


def _facts(row: Record) -> dict[str, Any]:
    shown = {name: row[name] for name in ("width", "height", "taken_local", "created_at", "tags", "rating")}
    return shown | {"size": None if row["size_bytes"] is None else format_size(row["size_bytes"])}


def sorts(sheet: Sheet, path: str, *fields: str) -> dict[str, dict[str, str | None]]:
    """Return for each field how it sorts the list, and the address that sorts by it, or the other way round."""
    return {field: _sort(sheet, path, field) for field in fields}


def _sort(sheet: Sheet, path: str, field: str) -> dict[str, str | None]:
    order = parse_order(sheet.filters.order_by)
    is_sorted = order.field == field
    descending = not order.descending if is_sorted else field in _BY_TIME
    kept = [(name, value) for name, value in sheet.kept if name != "order_by"]
    return {
        "direction": ("descending" if order.descending else "ascending") if is_sorted else None,
        "address": list_address([*kept, ("order_by", f"{field} desc" if descending else field)], path),
    }


def views(kept: Sequence[tuple[str, str]]) -> list[tuple[str, str, bool]]:
    """Return name and address of each view of the list, and whether it is the one that is shown."""
    others = [(name, value) for name, value in kept if name != VIEW]
    is_table = (VIEW, TABLE) in kept
    return [
        ("Pictures", list_address(others, IMAGES), not is_table),
        ("Table", list_address([*others, (VIEW, TABLE)], IMAGES), is_table),
    ]
