"""How numbers and identifiers are spelled in a delivery address: one text for each value."""

import base64
from uuid import UUID

BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def to_base36(number: int) -> str:
    """Return a number that is not negative in lower-case base 36, without leading zeros."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = BASE36[digit] + digits
        if number == 0:
            return digits


def to_text(raw: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def to_bytes(text: str) -> bytes:
    """Return the bytes of base64url without padding, whose alphabet has been checked."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def image_text(image_id: UUID) -> str:
    """Return an id as the 22 characters that stand for it in an address."""
    return to_text(image_id.bytes)


def image_id_of(text: str) -> UUID:
    """Return the id that 22 checked characters stand for."""
    return UUID(bytes=to_bytes(text))
