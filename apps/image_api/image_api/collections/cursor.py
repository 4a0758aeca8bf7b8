"""The cursor within a collection: the last image of a page, and where it was."""

import struct
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from image_api.http import pagination
from image_core.db import Record

_FORMAT = struct.Struct(">q16s")


class PlaceCursor(NamedTuple):
    """The last image of a page. If it was moved since, the next page begins after its new place."""

    position: int
    image_id: UUID


START = PlaceCursor(-(2**63), UUID(int=0))


def decode(text: str) -> PlaceCursor:
    """Decode a cursor.

    Raises:
        errors.CursorInvalid: The text was not written by `next_cursor`.
    """
    position, image_id = pagination.unpack(_FORMAT, text)
    return PlaceCursor(position, UUID(bytes=image_id))


def next_cursor(rows: Sequence[Record], limit: int) -> str | None:
    """Return the cursor after the first `limit` images; None if there are no more."""
    last = rows[limit - 1] if len(rows) > limit else None
    return None if last is None else pagination.pack(_FORMAT, last["position"], last["id"].bytes)
