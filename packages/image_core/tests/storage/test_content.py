import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core import errors
from image_core.storage.content import ByteRange, matches, parse_range

_NOT_SATISFIABLE = "not satisfiable"


def by_the_book(header: str, size: int) -> tuple[int, int] | str | None:
    """RFC 9110, section 14.1.2, for one int-range or suffix-range; anything else may be ignored."""
    found = re.match(r"^bytes=(?:(?P<first>[0-9]+)-(?P<last>[0-9]*)|-(?P<suffix>[0-9]+))$", header)
    if found is None:
        return None
    if found["suffix"] is not None:
        length = min(int(found["suffix"]), size)
        return (size - length, size - 1) if length else _NOT_SATISFIABLE
    first = int(found["first"])
    last = int(found["last"]) if found["last"] else None
    if last is not None and last < first:
        return None
    if first >= size:
        return _NOT_SATISFIABLE
    return first, size - 1 if last is None else min(last, size - 1)


def ours(header: str | None, size: int) -> tuple[int, int] | str | None:
    try:
        found = parse_range(header, size)
    except errors.RangeNotSatisfiable:
        return _NOT_SATISFIABLE
    return None if found is None else tuple(found)


numbers = st.one_of(st.just(""), st.integers(0, 30).map(str), st.integers(0, 10**18).map(str), st.just("007"))


class TestRanges:
    @given(numbers, numbers, st.integers(1, 25))
    def test_a_single_range_is_read_by_the_book(self, first: str, last: str, size: int) -> None:
        header = f"bytes={first}-{last}"
        assert ours(header, size) == by_the_book(header, size)

    @given(st.text(st.sampled_from("bytes=-0123456789, \t;x"), max_size=30), st.integers(1, 25))
    def test_whatever_else_is_sent_means_the_whole(self, tail: str, size: int) -> None:
        header = "bytes=" + tail
        assert ours(header, size) == by_the_book(header, size)

    @given(st.text(max_size=200), st.integers(1, 2**40))
    def test_no_header_breaks_the_parser_and_no_range_leaves_the_content(self, header: str, size: int) -> None:
        found = ours(header, size)
        if isinstance(found, tuple):
            assert 0 <= found[0] <= found[1] < size

    def test_no_header_means_the_whole(self) -> None:
        assert parse_range(None, 10) is None
        assert parse_range("bytes=2-3", 10) == ByteRange(2, 3)

    @pytest.mark.parametrize("header", ['"a"', 'W/"a"', '"b", "a"', "*", ' "a" ', 'W/"b",W/"a"'])
    def test_a_validator_is_found_in_a_list(self, header: str) -> None:
        assert matches(header, '"a"')

    @pytest.mark.parametrize("header", ['"b"', "a", '""', '"a', "", '"b", "c"'])
    def test_another_validator_is_not(self, header: str) -> None:
        assert not matches(header, '"a"')
