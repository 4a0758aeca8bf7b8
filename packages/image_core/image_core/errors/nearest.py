"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable

_ALIKE = 0.75
"""The similarity ratio from which one name counts as a misspelling of another."""
_MIN_BEGINNING = 4


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant: a misspelling or a prefix of it; None if none is close."""
    known = {candidate.lower(): candidate for candidate in names}
    lowered = name[:64].lower()
    if close := difflib.get_close_matches(lowered, known, n=1, cutoff=_ALIKE):
        return known[close[0]]
    longer = [candidate for candidate in known if len(lowered) >= _MIN_BEGINNING and candidate.startswith(lowered)]
    return known[longer[0]] if len(longer) == 1 else None


def nearest_hint(name: str, names: Iterable[str]) -> str:
    """Return " Did you mean …?" with the nearest name; empty if none is close."""
    meant = nearest(name, names)
    return f" Did you mean {meant!r}?" if meant else ""
