"""The orders of lists of images, and the cursors that continue a list in its order."""

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from image_api.http.pagination import Cursor, decode_cursor
from image_core import errors

FIELDS = ("created_at", "taken_at", "filename")
MAX_CURSOR_LENGTH = 1500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = struct.Struct(">q")
_MAX_FILENAME = 255


class Order(NamedTuple):
    """A field by which a list is sorted, and by id where that is equal. Images without a filename come last."""

    field: str
    descending: bool

    def __str__(self) -> str:
        return f"{self.field} desc" if self.descending else self.field


class Position(NamedTuple):
    """A place in a list: the value by which it is sorted and the id of the last image before it."""

    value: datetime | str | None
    image_id: UUID


NEWEST_FIRST = Order("created_at", descending=True)
LATEST_OF_MONTH = Order("taken_local", descending=True)
"""The order within a month of the timeline: by the camera's clock, a time without a zone."""
ORDERS = {str(order): order for field in FIELDS for order in (Order(field, False), Order(field, True))}


def parse_order(text: str | None) -> Order:
    """Return the order of `order_by`; without one, the newest uploads come first.

    Raises:
        errors.OrderUnknown: There is no such order.
    """
    if text is None:
        return NEWEST_FIRST
    if text not in ORDERS:
        message = f"Unknown order {text[:64]!r}. Send one of: {', '.join(ORDERS)}."
        raise errors.OrderUnknown(message, field="order_by")
    return ORDERS[text]


def encode_position(order: Order, position: Position) -> str:
    """Return a cursor: URL-safe text that names its order, except in the order that lists have by default."""
    value, image_id = position
    if order == NEWEST_FIRST and isinstance(value, datetime):
        return Cursor(value, image_id).encode()
    packed = image_id.bytes + _pack(value)
    return f"{_prefix(order)}{base64.urlsafe_b64encode(packed).rstrip(b'=').decode()}"


def decode_position(order: Order, text: str) -> Position:
    """Decode a cursor of this order.

    Raises:
        errors.CursorInvalid: The text was not written by `encode_position`.
        errors.CursorOfAnotherOrder: The cursor continues a list in another order.
    """
    prefix = text[: text.rfind(".") + 1]
    if prefix != _prefix(order):
        _refuse_other_order(order, prefix)
    if order == NEWEST_FIRST:
        return Position(*decode_cursor(text))
    try:
        packed = base64.b64decode(text[len(prefix) :] + "=" * (-len(text[len(prefix) :]) % 4), b"-_", validate=True)
        position = Position(_unpack(order, packed[16:]), UUID(bytes=packed[:16]))
    except (binascii.Error, struct.error, ValueError, OverflowError) as error:
        raise _invalid() from error
    if encode_position(order, position) != text:
        raise _invalid()
    return position


def _prefix(order: Order) -> str:
    return "" if order == NEWEST_FIRST else f"{order.field}.{'desc' if order.descending else 'asc'}."


def _refuse_other_order(order: Order, prefix: str) -> None:
    other = next((known for known in (*ORDERS.values(), LATEST_OF_MONTH) if _prefix(known) == prefix), None)
    if other is None:
        raise _invalid()
    raise errors.CursorOfAnotherOrder(
        f"The cursor continues a list in the order `{other}`, and this list has the order `{order}`. Send `next_cursor`"
        " with the parameters of the page that it came with."
    )


def _invalid() -> errors.CursorInvalid:
    return errors.CursorInvalid("The cursor is not valid. Send `next_cursor` of the previous page unchanged.")


def _pack(value: datetime | str | None) -> bytes:
    if isinstance(value, datetime):
        return _TIME.pack((value.replace(tzinfo=value.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1))
    return b"" if value is None else value.encode()


def _unpack(order: Order, packed: bytes) -> datetime | str | None:
    if order.field != "filename":
        value = _EPOCH + timedelta(microseconds=_TIME.unpack(packed)[0])
        return value.replace(tzinfo=None) if order == LATEST_OF_MONTH else value
    name = packed.decode()
    if len(name) > _MAX_FILENAME or "\0" in name:
        raise ValueError("no filename")
    # No filename is empty.
    return name or None
