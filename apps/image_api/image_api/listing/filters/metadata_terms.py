"""Search terms for metadata filters, as the database's function `image_terms` writes them.

A range becomes the digit prefixes that cover it: 18 to 30 is 18, 19, 2x and 30 among the numbers of two digits.
"""

from collections.abc import Iterator
from decimal import ROUND_FLOOR, Decimal
from uuid import UUID

_MAX_DIGITS = 16
_TEXT_LENGTH = 64


def team_term(team_id: UUID) -> str:
    """Return the term of every image of the team."""
    return f"@{team_id}"


def presence(name: str) -> str:
    """Return the term of every image that has the field."""
    return f"{name}?"


def text(name: str, value: str) -> str:
    """Return the term of every image with this value."""
    return f"{name}={value[:_TEXT_LENGTH]}"


def beginning(name: str, prefix: str) -> str:
    """Return the term of every image whose text starts with this prefix."""
    return f"{name}^{prefix[: 3 if len(prefix) >= 3 else 1]}"


def dates(name: str, first: str | None, last: str | None) -> list[str]:
    """Return the terms that cover a range of dates."""
    low, high = int((first or "0").replace("-", "")), int((last or "99999999").replace("-", ""))
    return [f"{name}~8:{prefix}" for prefix in _covering("", 8, low, high)]


def numbers(name: str, minimum: Decimal | None, maximum: Decimal | None) -> list[str]:
    """Return the terms that cover a range of numbers."""
    terms = []
    if maximum is None or maximum >= 0:
        low = max(minimum, Decimal(0)) if minimum is not None else Decimal(0)
        terms += [f"{name}+{prefix}" for prefix in _sizes(low, maximum)]
    if minimum is None or minimum < 0:
        low = max(-maximum, Decimal(0)) if maximum is not None else Decimal(0)
        terms += [f"{name}<{prefix}" for prefix in _sizes(low, None if minimum is None else -minimum)]
    return terms


def _sizes(minimum: Decimal, maximum: Decimal | None) -> Iterator[str]:
    """Return the prefixes of the whole parts between two non-negative numbers, each after its number of digits."""
    low = int(minimum.to_integral_value(ROUND_FLOOR))
    high = 10 ** (_MAX_DIGITS + 1) if maximum is None else int(maximum.to_integral_value(ROUND_FLOOR))
    for width in range(1, _MAX_DIGITS + 1):
        smallest, largest = (0 if width == 1 else 10 ** (width - 1)), 10**width - 1
        if low <= largest and high >= smallest:
            # No number of this width is below the smallest, so covering what is below is harmless.
            for prefix in _covering("", width, 0 if low <= smallest else low, high):
                yield f"{width}:{prefix}"
    if high >= 10**_MAX_DIGITS:
        # Longer numbers have no prefixes.
        yield f"{_MAX_DIGITS + 1}:"


def _covering(prefix: str, width: int, low: int, high: int) -> Iterator[str]:
    step = 10 ** (width - len(prefix))
    first = int(prefix or 0) * step
    last = first + step - 1
    if last < low or first > high:
        return
    if low <= first and last <= high:
        yield prefix
        return
    for digit in "0123456789":
        yield from _covering(prefix + digit, width, low, high)
