"""Totals of lists of images: exact while they are small, and else a number of which there are at least as many."""

from typing import Any, NamedTuple

from image_api.listing import queries
from image_api.listing.orders import NEWEST_FIRST
from image_api.listing.walks import plan_walk
from image_core.db import Runner

MAX_TOTAL = 10_000
COUNTED_IMAGES = 20_000
"""Maximum number of the newest images on which conditions are tried that no index answers."""


class Total(NamedTuple):
    """A number of images; if `at_least`, more may match."""

    number: int
    at_least: bool


async def count_images(runner: Runner, names: frozenset[str], values: dict[str, Any]) -> Total:
    """Return how many images match: exactly up to 10,000, if an index or few images make that possible."""
    walk = plan_walk(names, NEWEST_FIRST)
    if walk is None or not walk.tried:
        return _bounded(await queries.count(runner, names, values, MAX_TOTAL + 1))
    if walk.finding:
        candidates = await queries.count(runner, walk.finding, values, MAX_TOTAL + 1)
        if candidates <= MAX_TOTAL:
            return _bounded(await queries.count(runner, names, values, MAX_TOTAL + 1))
        if walk.tried <= walk.finding:
            return _bounded(candidates)
    examined, matching = await queries.count_among_newest(runner, walk, values, COUNTED_IMAGES + 1)
    return Total(min(matching, MAX_TOTAL), at_least=examined > COUNTED_IMAGES or matching > MAX_TOTAL)


def _bounded(number: int) -> Total:
    return Total(min(number, MAX_TOTAL), at_least=number > MAX_TOTAL)
