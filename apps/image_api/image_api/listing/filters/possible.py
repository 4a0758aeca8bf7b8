"""Detection of contradictory filters on one field: a list that can never match is rejected, not empty."""

from collections.abc import Iterable
from typing import Any


class PossibleValues:
    """The values that one field may have under all filters so far."""

    def __init__(self) -> None:
        self._low: tuple[Any, bool] | None = None
        self._high: tuple[Any, bool] | None = None
        self._choices: set[Any] | None = None
        self._excluded: set[Any] = set()
        self._presence: set[bool] = set()

    def narrow(self, operator: str, values: Iterable[Any]) -> None:
        """Add a filter; values are compared with each other, so they have the same type."""
        found = set(values)
        if operator == "exists":
            self._presence |= found
            return
        self._presence.add(True)
        match operator:
            case "eq" | "in":
                self._choices = found if self._choices is None else self._choices & found
            case "ne":
                self._excluded |= found
            case "gt" | "gte":
                bound = (max(found), operator == "gt")
                self._low = bound if self._low is None else max(self._low, bound)
            case "lt" | "lte":
                # Of two equal bounds, the exclusive one sorts first.
                bound = (min(found), operator == "lte")
                self._high = bound if self._high is None else min(self._high, bound)

    def is_empty(self) -> bool:
        """Return whether no value matches."""
        if len(self._presence) > 1:
            return True
        if self._choices is not None:
            return not any(self._within(choice) for choice in self._choices - self._excluded)
        if self._low is None or self._high is None:
            return False
        (low, above), (high, inclusive) = self._low, self._high
        return bool(low > high or (low == high and (above or not inclusive)))

    def _within(self, value: Any) -> bool:
        if self._low is not None and (value < self._low[0] or (self._low[1] and value == self._low[0])):
            return False
        return self._high is None or bool(value < self._high[0] or (self._high[1] and value == self._high[0]))
