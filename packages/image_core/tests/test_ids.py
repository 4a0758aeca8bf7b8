import time
from uuid import UUID

from image_core.ids import new_id


def test_ids_are_version_7_of_the_standard() -> None:
    made = new_id()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")


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
