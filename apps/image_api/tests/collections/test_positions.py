"""Positions between others: ascending, within their bounds, and none where there is no room."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from image_api.collections.positions import GAP, between

ends = st.none() | st.integers(-(2**62), 2**62)


@given(ends, ends, st.integers(1, 1000))
def test_they_ascend_between_their_neighbours(low: int | None, high: int | None, count: int) -> None:
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    places = between(low, high, count)
    if places is None:
        assert (high - low if low is not None and high is not None else 0) <= count or places is None
        return
    bounded = [*([] if low is None else [low]), *places, *([] if high is None else [high])]
    assert all(one < other for one, other in pairwise(bounded))
    assert len(places) == count
    assert max(map(abs, places)) <= 2**62


def test_whole_gaps_take_as_many_as_one_request_may_name() -> None:
    assert between(GAP, 2 * GAP, 1000) is not None


def test_there_is_no_room_between_neighbours_nor_beyond_the_farthest() -> None:
    assert between(7, 8, 1) is None
    assert between(7, 10, 3) is None
    assert between(7, 10, 2) == [8, 9]
    assert between(2**62, None, 1) is None
    assert between(None, -(2**62), 1) is None
