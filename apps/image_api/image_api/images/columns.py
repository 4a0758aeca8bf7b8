"""The columns that callers see of an image."""

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from image_core.db import Record
from image_core.delivery.rendition_requests import SOURCE
from image_core.delivery.tag import delivery_tag
from image_core.models import analysis, derivative, image

_listed = (
    "id", "team_id", "uploaded_by", "status", "failure_code", "failure_message", "filename", "content_type",
    "size_bytes", "width", "height", "frames", "tags", "visibility", "created_at", "updated_at", "deleted_at",
    "taken_at", "taken_at_source", "taken_local", "description", "alt_text", "alt_text_language", "rating", "focal_x",
    "focal_y",
)  # fmt: skip
_of_the_file = ("format", "sha256", "duplicate_of", "ready_at", "facts")
_addressed_by = ("generation", "delivery_epoch")


def _fact(name: str) -> ColumnElement[Any]:
    """Return a fact as text; its name is a literal in the SQL."""
    return image.c.facts.op("->>")(literal_column(f"'{name}'"))


PLACEHOLDER = case((_fact("has_alpha").is_distinct_from(literal_column("'true'")), _fact("blurhash")))
"""The BlurHash, and null for a picture with transparency, through which it would show."""

LISTED_COLUMNS: tuple[ColumnElement[Any], ...] = (
    *(image.c[name] for name in _listed),
    PLACEHOLDER.label("placeholder"),
)
"""The columns that `body.listed_body` reads."""

INCLUDED_COLUMNS: dict[str, tuple[ColumnElement[Any], ...]] = {
    "facts": tuple(image.c[name] for name in _of_the_file),
    "metadata": (image.c.metadata,),
    "delivery": tuple(image.c[name] for name in _addressed_by),
}
"""The columns of an image that a list reads only if they are to be included."""


@cache
def listed_columns(included: frozenset[str]) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of an image within a list, with those of what is included."""
    return (*LISTED_COLUMNS, *(column for name in sorted(included) for column in INCLUDED_COLUMNS.get(name, ())))


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


IMAGE_COLUMNS: tuple[ColumnElement[Any], ...] = (
    *LISTED_COLUMNS,
    *(column for columns in INCLUDED_COLUMNS.values() for column in columns),
    image.c.revision,
)
BODY_COLUMNS: tuple[ColumnElement[Any], ...] = (*IMAGE_COLUMNS, _derivatives())
"""The columns that `body.image_body` reads."""

RESULT_COLUMNS: tuple[ColumnElement[Any], ...] = tuple(
    analysis.c[name]
    for name in (
        "id", "status", "analyzer", "version", "parameters", "sha256", "created_at", "analyzed_at", "failure_code",
        "failure_message", "result",
    )
)  # fmt: skip
"""The columns that `body.analysis_body` reads."""

_is_thumbnail = derivative.c.preset == literal_column("'thumb'")
HAS_THUMBNAIL = exists().where(derivative.c.image_id == image.c.id, _is_thumbnail).correlate(image)

SUMMARY_COLUMNS: tuple[ColumnElement[Any], ...] = (
    *(image.c[name] for name in ("id", "filename", "content_type", "size_bytes", "width", "height", "created_at")),
    HAS_THUMBNAIL.label("has_thumbnail"),
)
"""The columns that `body.summary_body` reads."""


def tag_of(row: Record) -> str | None:
    """Return the tag in the image's delivery addresses; None before its bytes are stored."""
    return None if row["generation"] is None else delivery_tag(row["generation"], row["delivery_epoch"])
