"""Pages: an opaque cursor over (time, id), newest first, stable while rows are added."""

import base64
import binascii
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, tuple_

from image_core import errors
from image_core.db import Record

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMAT = struct.Struct(">q16s")
_INVALID = "The cursor is not valid. Send `next_cursor` of the previous page unchanged."


class Cursor(NamedTuple):
    """The last row of a page; the next page begins after it."""

    created_at: datetime
    row_id: UUID

    def encode(self) -> str:
        """Return URL-safe text: microseconds since 1970 and the id, in base64."""
        microseconds = (self.created_at - _EPOCH) // timedelta(microseconds=1)
        return pack(_FORMAT, microseconds, self.row_id.bytes)


def decode_cursor(text: str) -> Cursor:
    """Decode a cursor.

    Raises:
        errors.CursorInvalid: The text was not written by `encode`.
    """
    microseconds, row_id = unpack(_FORMAT, text)
    try:
        return Cursor(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=row_id))
    except OverflowError as error:
        raise errors.CursorInvalid(_INVALID) from error


def pack(layout: struct.Struct, *values: Any) -> str:
    """Return values as URL-safe text."""
    return base64.urlsafe_b64encode(layout.pack(*values)).rstrip(b"=").decode()


def unpack(layout: struct.Struct, text: str) -> tuple[Any, ...]:
    """Return the values in a text.

    Raises:
        errors.CursorInvalid: The text was not written by `pack`.
    """
    try:
        values = layout.unpack(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, struct.error, ValueError) as error:
        raise errors.CursorInvalid(_INVALID) from error
    if pack(layout, *values) != text:
        raise errors.CursorInvalid(_INVALID)
    return values


def newest_first(
    statement: Select[Any], created_at: ColumnElement[datetime], row_id: ColumnElement[UUID], cursor: Cursor | None,
    limit: int,
) -> Select[Any]:  # fmt: skip
    """Limit a statement to the rows after a cursor, newest first."""
    if cursor is not None:
        statement = statement.where(tuple_(created_at, row_id) < tuple_(cursor.created_at, cursor.row_id))
    return statement.order_by(created_at.desc(), row_id.desc()).limit(limit)


def next_cursor(rows: Sequence[Record], limit: int) -> str | None:
    """Return the cursor after the first `limit` rows; None if there are no more. Queries fetch one extra row."""
    return Cursor(rows[limit - 1]["created_at"], rows[limit - 1]["id"]).encode() if len(rows) > limit else None


def page_of(rows: Sequence[Record], limit: int, shown: Callable[[Record], Mapping[str, Any]] = dict) -> dict[str, Any]:
    """Return the body of a page; `shown` returns an item's."""
    return {"items": [shown(row) for row in rows[:limit]], "next_cursor": next_cursor(rows, limit)}
