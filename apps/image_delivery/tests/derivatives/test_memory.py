import asyncio

import pytest

from image_delivery.derivatives.memory import _ENTRY_BYTES, MOST_PICTURE_BYTES, PictureMemory

ENTRY = 1000 + _ENTRY_BYTES


async def test_the_pictures_that_were_used_last_stay() -> None:
    memory = PictureMemory(3 * ENTRY)
    for name in "abc":
        memory.put(name, bytes(1000))
    assert memory.peek("a") is not None
    memory.put("d", bytes(1000))
    assert [name for name in "abcd" if memory.peek(name)] == ["a", "c", "d"]
    assert memory.size_bytes == 3 * ENTRY


def test_a_picture_that_is_put_twice_counts_once() -> None:
    memory = PictureMemory(3 * ENTRY)
    for _ in range(5):
        memory.put("a", bytes(1000))
    assert memory.size_bytes == ENTRY


def test_neither_large_pictures_nor_more_than_its_size_are_held() -> None:
    memory = PictureMemory(10 * MOST_PICTURE_BYTES)
    memory.put("large", bytes(MOST_PICTURE_BYTES + 1))
    memory.put("just right", bytes(MOST_PICTURE_BYTES))
    none = PictureMemory(0)
    none.put("small", b"x")
    assert (memory.peek("large"), none.peek("small"), none.size_bytes) == (None, None, 0)
    assert memory.peek("just right") is not None


async def test_a_read_that_fails_fails_for_all_who_wait_and_is_tried_again() -> None:
    memory, go_on = PictureMemory(1000), asyncio.Event()

    async def fail() -> bytes:
        await go_on.wait()
        raise OSError

    async def succeed() -> bytes:
        return b"picture"

    waiting = [asyncio.create_task(memory.get("a", fail)) for _ in range(3)]
    await asyncio.sleep(0)
    go_on.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in found] == [OSError] * 3
    assert await memory.get("a", succeed) == b"picture"


async def test_a_caller_that_leaves_takes_nothing_from_the_others() -> None:
    memory, go_on = PictureMemory(1000), asyncio.Event()

    async def read() -> bytes:
        await go_on.wait()
        return b"picture"

    leaving, staying = (asyncio.create_task(memory.get("a", read)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    go_on.set()
    assert await staying == b"picture"
