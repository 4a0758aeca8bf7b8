"""What every object storage here does alike: the fake, the local cloud's store, and a second opinion on the latter.

Nothing in a test knows which one it talks to.
"""

import asyncio
import gc
import io
import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_core import errors
from image_core.gcs import GcsClient, crc32c, crc32c_text
from image_core.storage import (
    ONE_REQUEST_BYTES,
    READ_CHUNK_BYTES,
    ObjectMissing,
    ObjectStorage,
    ObjectTooLarge,
    content_chunks,
)
from image_core.testing import FakeStorage
from local_cloud.ports import free_port

BODY = bytes(range(256)) * 300
TYPE = "image/jpeg"


@pytest.fixture(scope="module")
def second_opinion(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A running fake-gcs-server, built with Go."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "image-manager" / "go"
    binary = folder / "fake-gcs-server"
    if not binary.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["go", "install", "github.com/fsouza/fake-gcs-server@v1.56.1"]
        subprocess.run(command, check=True, env={**os.environ, "GOBIN": str(folder)}, timeout=600)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory", "-external-url", url]
    process = subprocess.Popen([binary, *options, "-log-level", "error"], cwd=tmp_path_factory.mktemp("second-opinion"))
    for _ in range(100):
        try:
            httpx2.post(f"{url}/storage/v1/b", json={"name": "contract", "versioning": {"enabled": True}})
            break
        except httpx2.HTTPError:
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(10)


KINDS = ["fake", "local cloud", pytest.param("second opinion", marks=[pytest.mark.go, pytest.mark.timeout(700)])]


@pytest.fixture(params=KINDS)
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[ObjectStorage]:
    """One bucket of each kind."""
    if request.param == "fake":
        yield FakeStorage("contract")
        return
    if request.param == "local cloud":
        emulators = request.getfixturevalue("emulators")
        host, bucket = emulators.storage_host, emulators.environment["IMAGE_UPLOAD_BUCKET_NAME"]
    else:
        host, bucket = request.getfixturevalue("second_opinion"), "contract"
    yield GcsClient("contract", host, None).bucket(bucket)


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"contract/{uuid4()}/object"


async def test_what_is_put_can_be_read_back_and_described(storage: ObjectStorage, name: str) -> None:
    stored = await storage.put(name, BODY, TYPE)
    assert (stored.name, stored.size_bytes, stored.content_type) == (name, len(BODY), TYPE)
    assert stored.crc32c == crc32c_text(crc32c(BODY))
    assert stored.generation > 0
    assert await storage.stat(name) == stored
    assert await storage.read(name, stored.generation, 0, len(BODY) - 1) == BODY
    assert await storage.read(name, None, 0, len(BODY) - 1) == BODY


async def test_the_same_body_again_is_ones_own_object(storage: ObjectStorage, name: str) -> None:
    first = await storage.put(name, BODY, TYPE)
    assert (await storage.put(name, BODY, TYPE)).generation == first.generation


async def test_another_body_under_the_same_name_is_refused(storage: ObjectStorage, name: str) -> None:
    first = await storage.put(name, BODY, TYPE)
    with pytest.raises(errors.StorageUnavailable):
        await storage.put(name, BODY[::-1], TYPE)
    assert await storage.stat(name) == first


async def test_a_body_in_pieces_becomes_one_object(storage: ObjectStorage, name: str) -> None:
    piece = bytearray(os.urandom(1024) * (ONE_REQUEST_BYTES // 1024))
    last = b"the end"
    async with storage.writer(name, TYPE) as writer:
        await writer.write(piece)
        assert await storage.stat(name) is None
        stored = await writer.finish(last)
    assert stored.size_bytes == len(piece) + len(last)
    assert stored.crc32c == crc32c_text(crc32c(bytes(piece) + last))
    assert await storage.read(name, stored.generation, len(piece) - 3, len(piece) + 2) == bytes(piece[-3:]) + last[:3]


async def test_a_body_that_ends_with_a_whole_piece_is_complete(storage: ObjectStorage, name: str) -> None:
    piece = os.urandom(1024) * (ONE_REQUEST_BYTES // 1024)
    async with storage.writer(name, TYPE) as writer:
        await writer.write(piece)
        stored = await writer.finish(b"")
    assert (stored.size_bytes, stored.crc32c) == (len(piece), crc32c_text(crc32c(piece)))


async def test_an_upload_that_is_left_leaves_nothing(storage: ObjectStorage, name: str) -> None:
    async def broken() -> None:
        async with storage.writer(name, TYPE) as writer:
            await writer.write(bytes(ONE_REQUEST_BYTES))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await broken()
    assert await storage.list(name) == []


async def test_an_upload_that_is_cancelled_and_collected_leaves_nothing(storage: ObjectStorage, name: str) -> None:
    began = asyncio.Event()

    async def upload() -> None:
        async with storage.writer(name, TYPE) as writer:
            await writer.write(bytes(ONE_REQUEST_BYTES))
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(upload())
    await began.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    del task
    gc.collect()
    assert await storage.list(name) == []


async def test_what_is_not_there_is_missing(storage: ObjectStorage, name: str) -> None:
    assert await storage.stat(name) is None
    with pytest.raises(ObjectMissing):
        await storage.read(name, None, 0, 9)
    with pytest.raises(ObjectMissing):
        await storage.download(name, 12345, io.BytesIO(), 100)
    await storage.delete(name)
    await storage.delete(name, 12345)


async def test_a_generation_that_is_gone_is_missing(storage: ObjectStorage, name: str) -> None:
    stored = await storage.put(name, BODY, TYPE)
    await storage.delete(name, stored.generation)
    with pytest.raises(ObjectMissing):
        await storage.read(name, stored.generation, 0, 9)
    assert await storage.stat(name) is None


async def test_a_download_is_whole_and_within_its_limit(storage: ObjectStorage, name: str) -> None:
    stored = await storage.put(name, BODY, TYPE)
    file = io.BytesIO()
    await storage.download(name, stored.generation, file, len(BODY))
    assert file.getvalue() == BODY
    with pytest.raises(ObjectTooLarge):
        await storage.download(name, stored.generation, io.BytesIO(), len(BODY) - 1)


async def test_deleting_removes_all_generations_and_no_neighbour(storage: ObjectStorage, name: str) -> None:
    await storage.put(name, BODY, TYPE)
    neighbour = await storage.put(f"{name}-2", BODY, TYPE)
    await storage.delete(name)
    await storage.delete(name)
    assert await storage.list(name) == [neighbour]


async def test_a_list_is_in_order_and_knows_its_prefix(storage: ObjectStorage, name: str) -> None:
    for suffix in ("/b", "/a", "-other"):
        await storage.put(name + suffix, BODY, TYPE)
    assert [each.name for each in await storage.list(f"{name}/")] == [f"{name}/a", f"{name}/b"]
    assert await storage.list(f"{name}/c") == []


async def test_content_comes_in_pieces_that_join(storage: ObjectStorage, name: str) -> None:
    body = os.urandom(1024) * (READ_CHUNK_BYTES // 1024) * 2 + b"rest"
    stored = await storage.put(name, body, TYPE)
    chunks = [chunk async for chunk in content_chunks(storage, name, stored.generation, 1, len(body) - 2)]
    assert [len(chunk) for chunk in chunks] == [READ_CHUNK_BYTES, READ_CHUNK_BYTES, 2]
    assert b"".join(chunks) == body[1:-1]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, len(BODY) - 1), length=st.integers(1, 5000))
async def test_any_range_is_what_a_slice_is(storage: ObjectStorage, first: int, length: int) -> None:
    last = min(first + length, len(BODY)) - 1
    stored = await storage.put("contract/ranges", BODY, TYPE)
    assert await storage.read("contract/ranges", stored.generation, first, last) == BODY[first : last + 1]


async def test_storage_that_answers_passes_its_check(storage: ObjectStorage) -> None:
    await storage.check()


async def test_many_writers_of_one_name_make_one_object(storage: ObjectStorage, name: str) -> None:
    outcomes = await asyncio.gather(
        *(storage.put(name, bytes([n]) * 1000, TYPE) for n in range(8)), return_exceptions=True
    )
    won = [each for each in outcomes if not isinstance(each, BaseException)]
    assert len(won) == 1
    assert [each.generation for each in await storage.list(name)] == [won[0].generation]
