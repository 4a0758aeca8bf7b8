"""Positions of a collection's images: integers with gaps, so that images fit between two others that stay."""

GAP = 2**24
_FARTHEST = 2**62


def between(low: int | None, high: int | None, count: int) -> list[int] | None:
    """Return ascending positions for `count` images after `low` and before `high`, each None at an end.

    Return None if there is no room: then all images have to be numbered anew.
    """
    if low is not None and high is not None:
        step = (high - low) // (count + 1)
        first = low + step
    else:
        step = GAP
        first = (low or 0) + GAP if high is None else high - count * GAP
    places = [first + number * step for number in range(count)]
    return places if step and first >= -_FARTHEST and places[-1] <= _FARTHEST else None
