"""The columns that callers see of an image."""

from typing import Any

from sqlalchemy import ColumnElement, exists, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from image_core.db import Record
from image_core.delivery.rendition_requests import SOURCE
from image_core.delivery.tag import delivery_tag
from image_core.models import derivative, image

_shown = (
    "id", "team_id", "uploaded_by", "status", "failure_code", "failure_message", "duplicate_of", "filename",
    "content_type", "format", "size_bytes", "sha256", "width", "height", "frames", "facts", "tags", "metadata",
    "created_at", "updated_at", "ready_at", "deleted_at", "revision", "visibility", "generation", "delivery_epoch",
)  # fmt: skip
IMAGE_COLUMNS: tuple[ColumnElement[Any], ...] = tuple(image.c[name] for name in _shown)


def _derivatives() -> ColumnElement[Any]:
    """Return the image's derivatives as a JSON array, with the preset where `body.image_body` writes the URL."""
    columns: dict[str, ColumnElement[Any]] = {"preset": derivative.c.preset, "url": derivative.c.preset} | {
        name: derivative.c[name] for name in ("width", "height", "size_bytes", "content_type")
    }
    columns["spec_hash"] = func.encode(derivative.c.spec_hash, text("'hex'"))
    # The keys are literals in the SQL: as parameters they would be sent with every request.
    item = func.json_build_object(*(part for name, column in columns.items() for part in (text(f"'{name}'"), column)))
    listed = func.json_agg(aggregate_order_by(item, derivative.c.width, derivative.c.preset))
    return (
        select(listed)
        .where(derivative.c.image_id == image.c.id, derivative.c.preset != literal_column(f"'{SOURCE}'"))
        .correlate(image)
        .scalar_subquery()
        .label("derivatives")
    )


BODY_COLUMNS: tuple[ColumnElement[Any], ...] = (*IMAGE_COLUMNS, _derivatives())
"""The columns that `body.image_body` reads."""

SUMMARY_COLUMNS: tuple[ColumnElement[Any], ...] = (
    *(image.c[name] for name in ("id", "filename", "content_type", "size_bytes", "width", "height", "created_at")),
    exists()
    .where(derivative.c.image_id == image.c.id, derivative.c.preset == literal_column("'thumb'"))
    .correlate(image)
    .label("has_thumbnail"),
)
"""The columns that `body.summary_body` reads."""


def tag_of(row: Record) -> str | None:
    """Return the tag in the image's delivery addresses; None before its bytes are stored."""
    return None if row["generation"] is None else delivery_tag(row["generation"], row["delivery_epoch"])
