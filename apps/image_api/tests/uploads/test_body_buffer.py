"""Whatever pieces a body comes in, it passes through one buffer in chunks that storage takes."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_api.uploads import body_buffer
from image_api.uploads.body_buffer import BodyBuffer
from image_core import errors

UNIT, CHUNK, ONE_REQUEST = 4, 8, 16


@pytest.fixture(autouse=True, scope="module")
def _small() -> object:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("_UNIT_BYTES", UNIT), ("CHUNK_BYTES", CHUNK), ("ONE_REQUEST_BYTES", ONE_REQUEST)):
            patch.setattr(body_buffer, name, size)
        yield


async def passed(pieces: list[bytes], declared_bytes: int | None) -> list[bytes]:
    """The chunks that storage would get."""

    async def source() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    body = BodyBuffer(source(), declared_bytes, 1000)
    await body.fill(1)
    await body.fill()
    chunks = []
    while not body.ended:
        chunks.append(bytes(body.held))
        body.clear()
        await body.fill()
    assert body.is_whole == (not chunks)
    return [*chunks, bytes(body.held)]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.booleans(), st.integers(0, 3))
def test_a_body_comes_out_as_it_went_in(pieces: list[bytes], is_declared: bool, framing: int) -> None:
    whole = b"".join(pieces)
    chunks = asyncio.run(passed(pieces, len(whole) + framing if is_declared else None))
    assert b"".join(chunks) == whole
    assert all(chunk and len(chunk) % UNIT == 0 for chunk in chunks[:-1])
    if len(whole) <= ONE_REQUEST - framing:
        assert len(chunks) == 1


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8), st.integers(0, 9))
def test_a_length_that_lies_loses_nothing(pieces: list[bytes], declared_bytes: int) -> None:
    assert b"".join(asyncio.run(passed(pieces, declared_bytes))) == b"".join(pieces)


def test_more_than_the_limit_is_refused() -> None:
    with pytest.raises(errors.UploadTooLarge):
        asyncio.run(passed([bytes(999), bytes(2)], None))
