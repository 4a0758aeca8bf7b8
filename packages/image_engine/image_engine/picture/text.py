"""Sanitize text from a file for storage and display."""

import re
import unicodedata

MAX_TEXT_LENGTH = 200

# Embeddings, overrides and isolates affect the surrounding text; joiners and marks only shape their neighbours.
_DIRECTION_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_BREAKING_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def clean_text(value: bytes | str) -> str | None:
    """Return one bounded line without NUL, control characters or bidirectional overrides; None if nothing is left.

    PostgreSQL's jsonb rejects NUL, and pages and logs should not contain control characters from a stranger's file.
    Joiners stay: they are letters of Persian and Hindi and join emoji.
    """
    text = _decode(value) if isinstance(value, bytes) else value
    line = "".join(" " if _breaks_line(character) else character for character in text)
    return re.sub(" +", " ", line).strip()[:MAX_TEXT_LENGTH].rstrip() or None


def _breaks_line(character: str) -> bool:
    return character in _DIRECTION_CONTROLS or unicodedata.category(character) in _BREAKING_CATEGORIES


def _decode(value: bytes) -> str:
    encoding = _BYTE_ORDER_MARKS.get(value[:2])
    if encoding is not None:
        return value[2:].decode(encoding, "replace").split("\x00", 1)[0]
    content = value.split(b"\x00", 1)[0]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        whole = content[: error.start]
        if error.reason == "unexpected end of data" and not whole.isascii():
            # A field of fixed length may end within a character.
            return whole.decode("utf-8")
    # Windows' superset of Latin-1: it adds quotation marks and the like, where Latin-1 has control characters.
    return content.decode("cp1252", "replace")
