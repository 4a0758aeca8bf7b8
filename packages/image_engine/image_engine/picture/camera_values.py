"""Convert values of EXIF, XMP and IPTC to text and numbers."""

import math
import re

from image_engine.picture.text import clean_text

Value = bytes | str | tuple[float, ...] | None
"""Bytes and numbers of EXIF, text of XMP and IPTC."""

_NUMBER = re.compile(r"([+-]?\d{1,15}(?:\.\d{1,15})?)(?:/(\d{1,15}))?", re.ASCII)


def text_of(value: Value) -> str | None:
    """Read a text; EXIF's may be stored as one-byte numbers."""
    return clean_text(value if isinstance(value, str) else _bytes_of(value))


def utf16_of(value: Value) -> str | None:
    """Read one of Windows' own tags, UTF-16 in one-byte numbers."""
    return text_of(value) if isinstance(value, str) else clean_text(_bytes_of(value).decode("utf-16-le", "replace"))


def number_of(value: Value) -> float | None:
    """Read the first number; None if it is not finite, such as a fraction with denominator zero."""
    if isinstance(value, tuple):
        return value[0] if math.isfinite(value[0]) else None
    found = _NUMBER.fullmatch(text_of(value) or "")
    divisor = int(found[2] or 1) if found else 0
    return float(found[1]) / divisor if found and divisor else None


def _bytes_of(value: bytes | tuple[float, ...] | None) -> bytes:
    if not isinstance(value, tuple):
        return value or b""
    return bytes(number for number in value if isinstance(number, int) and 0 <= number <= 255)
