"""Charts of numbers by day: bars whose sizes are attributes of an SVG, as the pages' policy allows no inline style."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

HEIGHT = 100
_WIDTH, _GAP = 10, 2


class Bar(NamedTuple):
    """One day: a bar from the bottom, of which `part` is marked. Sizes are in units of the SVG."""

    day: date
    total: int
    part: int
    x: int
    width: int
    height: float
    part_height: float


class Chart(NamedTuple):
    """Bars of a period, oldest first."""

    bars: list[Bar]
    width: int
    most: int
    total: int


def chart_of(first_day: date, last_day: date, totals: Mapping[date, tuple[int, int]]) -> Chart:
    """Return the chart of a period; `totals` are the number of a day and the part of it that is marked."""
    days = [first_day + timedelta(days=number) for number in range((last_day - first_day).days + 1)]
    most = max((total for total, _ in totals.values()), default=0)

    def scaled(number: int) -> float:
        return round(HEIGHT * max(0, number) / most, 2) if most > 0 else 0

    bars = [
        Bar(day, *(found := totals.get(day, (0, 0))), index * _WIDTH + _GAP // 2, _WIDTH - _GAP, *map(scaled, found))
        for index, day in enumerate(days)
    ]
    return Chart(bars, len(days) * _WIDTH, most, sum(total for total, _ in totals.values()))
