"""Which format an answer has: the one that the address names, or for `auto` one that the browser names."""

import re
from collections.abc import Iterable

from image_core.delivery.spec import Format

_RANGE = re.compile(r"\s*image/(webp|avif|jpeg|png)\s*(?:;(.*))?", re.IGNORECASE | re.ASCII)
_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", re.IGNORECASE | re.ASCII)
_MOST_ACCEPT_BYTES = 1024


def accepted(header: bytes) -> frozenset[str]:
    """Return the formats that an Accept header names with a quality above zero; `*/*` and `image/*` name none.

    Source: RFC 9110, section 12.5.1.
    """
    found = set()
    for part in header[:_MOST_ACCEPT_BYTES].decode("latin-1").split(","):
        match = _RANGE.fullmatch(part)
        if match is not None and _quality(match[2] or "") > 0:
            found.add(match[1].lower())
    return frozenset(found)


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        if match := _QUALITY.fullmatch(parameter):
            return float(match[1])
    return 1.0


def negotiated(header: bytes, stored: Iterable[Format], fallback: Format) -> tuple[Format, ...]:
    """Return the formats for `auto`, the best first; the last one is made if none is stored.

    Args:
        header: the Accept header, empty if there is none.
        stored: formats that exist already and are worth showing.
        fallback: for browsers that do not name WebP.
    """
    named = accepted(header)
    wanted: list[Format] = ["avif"] if "avif" in named and "avif" in stored else []
    wanted.append("webp" if "webp" in named else fallback)
    return tuple(wanted)
