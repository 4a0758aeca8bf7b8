"""Which conditions of a list an index fulfils while it is walked in the list's order, and which find images themselves.

A list is walked along the index of its order. The conditions that this index fulfils cost nothing; each other one is
tried on every image that is walked, so that the number of images examined for a page has to be bounded.
"""

from functools import lru_cache
from typing import NamedTuple

from image_api.listing.orders import Order

_ALWAYS = frozenset({"team_id", "nothing", "not_trashed", "not_expired", "trashed", "cursor", "named", "unnamed"})
_RANGES = {
    "created_at": frozenset({"created_after", "created_before"}),
    "taken_at": frozenset({"taken_after", "taken_before"}),
    "taken_local": frozenset({"month_start", "month_end"}),
    "filename": frozenset[str](),
}
_BEFORE_CREATION = ("status", "uploaded_by", "content_type")
"""Columns of which each has an index that continues with the time of upload."""
_FIND = ("status", "statuses", "content_type", "uploaded_by", "min_size", "max_size", "near", "bbox", "has_location",
         "created_after", "created_before", "taken_after", "taken_before", "month_start", "month_end")  # fmt: skip
_OF_LISTS = ("tag", "terms")
"""Beginnings of names of conditions on lists of values, whose indexes look for all candidates before the first."""


class Walk(NamedTuple):
    """How the images of a list are found.

    Attributes:
        along: the conditions that the index of the order fulfils.
        tried: the other conditions, which are tried on each image.
        finding: the conditions by which an index finds candidates in no order; empty if there are none.
    """

    along: frozenset[str]
    tried: frozenset[str]
    finding: frozenset[str]

    @property
    def finds_at_once(self) -> bool:
        """Return whether an index returns the first candidates before it has looked for all of them."""
        return not any(name.startswith(_OF_LISTS) for name in self.finding)


@lru_cache(512)
def plan_walk(names: frozenset[str], order: Order) -> Walk | None:
    """Return how a list with these conditions is walked; None if no index has its images in this order.

    The trash and expired uploads are few, since they are removed in time, and are sorted for each page.
    """
    by_creation = order.field == "created_at"
    listed = {"not_trashed", "not_expired"} <= names
    if not listed and not (by_creation and ("trashed" in names or {"status", "team_id"} <= names)):
        return None
    along = set(names & (_ALWAYS | _RANGES[order.field]))
    if by_creation and (first := _leading(names)):
        along.add(first)
    others = names - along
    finding = frozenset(name for name in others if name in _FIND or name.startswith(_OF_LISTS))
    return Walk(
        frozenset(along),
        frozenset(name for name in others if not name.startswith("terms")),
        finding and finding | (along - {"cursor", "named", "unnamed"}),
    )


def _leading(names: frozenset[str]) -> str | None:
    """Return the condition on the first column of an index that continues with the time of upload."""
    of_one_team = "team_id" in names
    return next((name for name in _BEFORE_CREATION if name in names and (of_one_team or name == "uploaded_by")), None)
