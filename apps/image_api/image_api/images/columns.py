"""The columns that show an image to its callers."""

from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam, cast, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from image_core.models import derivative, image

API_PREFIX = "/api/v1"

_shown = (
    "id", "team_id", "uploaded_by", "status", "failure_code", "failure_message", "duplicate_of", "filename",
    "content_type", "format", "size_bytes", "sha256", "width", "height", "frames", "facts", "tags", "metadata",
    "created_at", "updated_at", "ready_at", "deleted_at", "revision",
)  # fmt: skip
IMAGE_COLUMNS: tuple[ColumnElement[Any], ...] = tuple(image.c[name] for name in _shown)


# `base_url` is a parameter.
_url: ColumnElement[str] = (
    cast(bindparam("base_url"), Text)
    + literal_column(f"'{API_PREFIX}/images/'", Text)
    + cast(derivative.c.image_id, Text)
    + literal_column("'/derivatives/'", Text)
    + derivative.c.preset
)


def _derivatives() -> ColumnElement[Any]:
    """The image's derivatives as a JSON array, so that one row tells everything."""
    columns = {"preset": derivative.c.preset, "url": _url} | {
        name: derivative.c[name] for name in ("width", "height", "size_bytes", "content_type")
    }
    # The keys stand in the SQL itself: as parameters they would travel with every request.
    each = func.json_build_object(*(part for name, column in columns.items() for part in (text(f"'{name}'"), column)))
    listed = func.json_agg(aggregate_order_by(each, derivative.c.width, derivative.c.preset))
    return (
        select(listed)
        .where(derivative.c.image_id == image.c.id)
        .correlate(image)
        .scalar_subquery()
        .label("derivatives")
    )


BODY_COLUMNS: tuple[ColumnElement[Any], ...] = (*IMAGE_COLUMNS, _derivatives())

SUMMARY_COLUMNS: tuple[ColumnElement[Any], ...] = (
    *(image.c[name] for name in ("id", "filename", "content_type", "size_bytes", "width", "height", "created_at")),
    select(_url)
    .where(derivative.c.image_id == image.c.id, derivative.c.preset == literal_column("'thumb'"))
    .correlate(image)
    .scalar_subquery()
    .label("thumbnail_url"),
)
"""What tells images apart where several stand beside each other."""
