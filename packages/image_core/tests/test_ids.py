import time
from uuid import RFC_4122, UUID

import pytest

from image_core.ids import new_id


def test_ids_are_version_7_of_the_standard() -> None:
    made = new_id()
    assert (made.version, made.variant) == (7, RFC_4122)


def test_an_id_tells_the_millisecond_in_which_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    milliseconds = new_id().int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_no_id_is_made_twice() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_an_id_of_a_later_millisecond_sorts_after() -> None:
    first = new_id()
    while time.time_ns() // 1_000_000 == first.int >> 80:
        pass
    assert first < new_id()
    assert isinstance(first, UUID)


def test_ids_of_one_millisecond_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    made = [new_id() for _ in range(1000)]
    assert made == sorted(set(made))
    assert {each.version for each in made} == {7}
    assert {each.variant for each in made} == {RFC_4122}


def test_a_clock_that_goes_back_changes_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    past = time.time_ns() - 10**12
    monkeypatch.setattr(time, "time_ns", lambda: past)
    assert first < new_id()
