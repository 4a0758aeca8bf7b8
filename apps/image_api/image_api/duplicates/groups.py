"""Grouping of pairs."""

from collections.abc import Iterable
from uuid import UUID


def connected_components(pairs: Iterable[tuple[UUID, UUID]]) -> list[set[UUID]]:
    """Return the connected components of images linked by pairs, in no particular order."""
    group_of: dict[UUID, set[UUID]] = {}
    for pair in pairs:
        first, second = (group_of.setdefault(image_id, {image_id}) for image_id in pair)
        if first is second:
            continue
        smaller, larger = sorted((first, second), key=len)
        larger |= smaller
        group_of |= dict.fromkeys(smaller, larger)
    return list({id(group): group for group in group_of.values()}.values())
