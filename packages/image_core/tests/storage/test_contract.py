"""What the services rely on in object storage: one suite over the fake, the local store and a second opinion."""

import asyncio
import gc
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from aiohttp import web

from image_core import errors
from image_core.storage import connection
from image_core.storage.connection import crc32c, crc32c_text
from image_core.storage.gcs import GcsClient, GcsStorage
from image_core.storage.protocol import (
    ONE_REQUEST_BYTES,
    READ_CHUNK_BYTES,
    SESSION_UNIT_BYTES,
    ObjectChanged,
    ObjectMissing,
    ObjectStorage,
    ObjectTooLarge,
    content_chunks,
)
from image_core.storage.testing import FakeStorage

from .storages import Exchange, SpoiltNetwork, fake_gcs_server

CHUNK = bytes(range(256)) * (ONE_REQUEST_BYTES // 256)
KINDS = ["fake", "local", pytest.param("fake-gcs-server", marks=pytest.mark.go)]


@pytest.fixture(scope="session")
def second_opinion() -> Iterator[str]:
    with fake_gcs_server("originals") as url:
        yield url


@pytest.fixture(params=KINDS)
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[ObjectStorage]:
    if request.param == "fake":
        yield FakeStorage()
        return
    if request.param == "local":
        emulators = request.getfixturevalue("emulators")
        url, bucket = emulators.storage_host, emulators.settings["image_upload_bucket_name"]
    else:
        url, bucket = request.getfixturevalue("second_opinion"), "originals"
    client = GcsClient(url, None)
    yield client.bucket(bucket)
    await client.close()


@pytest.fixture
def name() -> str:
    return f"tests/{uuid4()}/object"


async def whole(storage: ObjectStorage, name: str, generation: int) -> bytes:
    file = io.BytesIO()
    await storage.download(name, generation, file, 2**40)
    return file.getvalue()


async def send(address: str, first: int, last: int) -> int:
    part = {"content-range": f"bytes {first}-{last}/300000", "content-type": "image/png"}
    async with httpx2.AsyncClient(trust_env=False) as client:
        return (await client.put(address, content=CHUNK[first : last + 1], headers=part)).status_code


class TestCopies:
    async def test_a_copy_has_the_bytes_and_only_the_type_that_it_was_given(
        self, storage: ObjectStorage, name: str
    ) -> None:
        original = await storage.put(f"{name}/a b", b"some bytes", "text/plain")
        copy = await storage.copy_from(storage, original.name, original.generation, f"{name}/copy", "image/png")
        assert (copy.size_bytes, copy.crc32c, copy.content_type) == (10, original.crc32c, "image/png")
        assert await whole(storage, copy.name, copy.generation) == b"some bytes"

    # fake-gcs-server 1.56.1 ignores the conditions of a copy.
    @pytest.mark.parametrize("storage", KINDS[:2], indirect=True)
    async def test_a_copy_that_is_there_is_not_made_again(self, storage: ObjectStorage, name: str) -> None:
        original = await storage.put(f"{name}/a", b"some bytes", "image/png")
        copies = [
            await storage.copy_from(storage, original.name, original.generation, f"{name}/copy", "image/png")
            for _ in range(2)
        ]
        assert copies[0] == copies[1]
        assert len(await storage.list(f"{name}/copy")) == 1

    async def test_what_is_absent_is_not_copied(self, storage: ObjectStorage, name: str) -> None:
        with pytest.raises(ObjectMissing):
            await storage.copy_from(storage, f"{name}/a", 1, f"{name}/copy", "image/png")

    @pytest.mark.parametrize("storage", KINDS[:2], indirect=True)
    async def test_what_has_changed_is_not_copied(self, storage: ObjectStorage, name: str) -> None:
        original = await storage.put(f"{name}/a", b"some bytes", "image/png")
        with pytest.raises(ObjectChanged):
            await storage.copy_from(storage, original.name, original.generation - 1, f"{name}/copy", "image/png")
        assert await storage.stat(f"{name}/copy") is None

    async def test_a_listing_goes_on_after_any_name(self, storage: ObjectStorage, name: str) -> None:
        names = [f"{name}/{number}" for number in range(5)]
        for each in [*names, f"{name}0"]:
            await storage.put(each, b"x", "image/png")
        await storage.delete(names[1])
        first = await storage.live_objects(f"{name}/", "", 2)
        assert [listed.stored.name for listed in first] == [names[0], names[2]]
        assert first[0].stored == await storage.stat(names[0])
        for after in (names[2], f"{names[2]}-gone"):
            rest = await storage.live_objects(f"{name}/", after, 10)
            assert [listed.stored.name for listed in rest] == names[3:]


@pytest.mark.parametrize("storage", KINDS[:2], indirect=True)
class TestSoftDelete:
    """Not of fake-gcs-server 1.56.1, which has no soft delete."""

    async def test_what_was_deleted_is_restored_as_a_new_generation(self, storage: ObjectStorage, name: str) -> None:
        stored = await storage.put(name, b"some bytes", "image/png")
        await storage.put(f"{name}0", b"neighbour", "image/png")
        assert await storage.soft_deleted(name) == []
        await storage.delete(name)
        await storage.delete(f"{name}0")
        assert await storage.soft_deleted(name) == [stored]
        assert [found.name for found in await storage.list(name)] == []
        with pytest.raises(ObjectMissing):
            await whole(storage, name, stored.generation)
        restored = await storage.restore(name, stored.generation)
        assert restored.generation > stored.generation
        assert (restored.crc32c, restored.content_type) == (stored.crc32c, "image/png")
        assert await storage.stat(name) == restored
        assert await whole(storage, name, restored.generation) == b"some bytes"

    async def test_generations_are_listed_in_their_order(self, storage: ObjectStorage, name: str) -> None:
        stored = []
        for body in (b"1", b"22"):
            stored.append(await storage.put(name, body, "image/png"))
            await storage.delete(name, stored[-1].generation)
        assert await storage.soft_deleted(name) == stored

    async def test_a_live_object_is_not_replaced(self, storage: ObjectStorage, name: str) -> None:
        old = await storage.put(name, b"old", "image/png")
        await storage.delete(name, old.generation)
        live = await storage.put(name, b"live", "image/png")
        # It may be what an earlier attempt restored, so whoever asks looks at what there is.
        assert await storage.restore(name, old.generation) == live
        assert await storage.list(name) == [live]

    async def test_what_was_never_deleted_is_missing(self, storage: ObjectStorage, name: str) -> None:
        stored = await storage.put(name, b"some bytes", "image/png")
        for generation in (stored.generation, stored.generation - 1):
            with pytest.raises(ObjectMissing):
                await storage.restore(name, generation)


class TestSessions:
    @pytest.mark.parametrize("storage", KINDS[1:], indirect=True)
    async def test_whoever_knows_the_address_sends_the_file(self, storage: ObjectStorage, name: str) -> None:
        address = await storage.open_session(name, "image/png", 300_000, None)
        assert await send(address, 0, SESSION_UNIT_BYTES - 1) == 308
        assert await storage.stat(name) is None
        assert await send(address, SESSION_UNIT_BYTES, 299_999) == 200
        stored = await storage.stat(name)
        assert stored is not None
        assert (stored.size_bytes, stored.content_type) == (300_000, "image/png")


class TestAskedSessions:
    """Not of fake-gcs-server 1.56.1, which takes the question of what has arrived for the end of the upload."""

    @pytest.mark.parametrize("storage", KINDS[:2], indirect=True)
    async def test_a_session_that_is_open_has_received_nothing(self, storage: ObjectStorage, name: str) -> None:
        address = await storage.open_session(name, "image/png", 300_000, None)
        assert await storage.received_bytes(address, 300_000) == 0
        assert await storage.stat(name) is None

    @pytest.mark.parametrize("storage", KINDS[:2], indirect=True)
    async def test_a_session_that_was_cancelled_is_gone(self, storage: ObjectStorage, name: str) -> None:
        address = await storage.open_session(name, "image/png", 300_000, None)
        for _ in range(2):
            await storage.cancel_session(address)
        assert await storage.received_bytes(address, 300_000) is None

    @pytest.mark.parametrize("storage", ["local"], indirect=True)
    async def test_what_has_arrived_is_told_until_all_has(self, storage: ObjectStorage, name: str) -> None:
        address = await storage.open_session(name, "image/png", 300_000, None)
        await send(address, 0, SESSION_UNIT_BYTES - 1)
        assert await storage.received_bytes(address, 300_000) == SESSION_UNIT_BYTES
        await send(address, SESSION_UNIT_BYTES, 299_999)
        assert await storage.received_bytes(address, 300_000) == 300_000
        await storage.cancel_session(address)
        assert await storage.stat(name) is not None


class TestPut:
    async def test_a_body_is_described_and_comes_back(self, storage: ObjectStorage, name: str) -> None:
        stored = await storage.put(name, b"some bytes", "image/png")
        assert (stored.name, stored.size_bytes, stored.content_type) == (name, 10, "image/png")
        assert stored.crc32c == crc32c_text(crc32c(b"some bytes"))
        assert await storage.stat(name) == stored
        assert await whole(storage, name, stored.generation) == b"some bytes"

    async def test_a_buffer_may_be_used_again_afterwards(self, storage: ObjectStorage, name: str) -> None:
        buffer = bytearray(b"some bytes")
        stored = await storage.put(name, buffer, "image/png")
        buffer[:] = b"x" * 10
        assert await whole(storage, name, stored.generation) == b"some bytes"

    async def test_the_same_object_again_is_recognised(self, storage: ObjectStorage, name: str) -> None:
        first = await storage.put(name, b"some bytes", "image/png")
        assert (await storage.put(name, b"some bytes", "image/png")).generation == first.generation

    async def test_another_object_of_the_same_name_is_refused(self, storage: ObjectStorage, name: str) -> None:
        first = await storage.put(name, b"some bytes", "image/png")
        with pytest.raises(errors.StorageUnavailable):
            await storage.put(name, b"other bytes", "image/png")
        assert await storage.stat(name) == first

    async def test_names_may_hold_what_urls_quote(self, storage: ObjectStorage, name: str) -> None:
        odd = f"{name}/é %2F?#&+ ."
        stored = await storage.put(odd, b"x", "image/png")
        assert stored.name == odd
        assert await storage.read(odd, stored.generation, 0, 0) == b"x"


class TestWriter:
    @pytest.mark.parametrize("chunks", [0, 1, 2])
    @pytest.mark.parametrize("last", [b"end", CHUNK], ids=["end", "whole-chunk"])
    async def test_an_object_arrives_in_chunks(
        self, storage: ObjectStorage, name: str, chunks: int, last: bytes
    ) -> None:
        async with storage.writer(name, "image/png") as writer:
            for _ in range(chunks):
                await writer.write(bytearray(CHUNK))
                assert await storage.stat(name) is None
            stored = await writer.finish(last)
        body = CHUNK * chunks + last
        assert (stored.size_bytes, stored.crc32c) == (len(body), crc32c_text(crc32c(body)))
        assert await storage.read(name, stored.generation, len(body) - 3, len(body) - 1) == body[-3:]

    async def test_what_breaks_off_leaves_nothing(self, storage: ObjectStorage, name: str) -> None:
        with pytest.raises(RuntimeError):
            async with storage.writer(name, "image/png") as writer:
                await writer.write(CHUNK)
                raise RuntimeError
        assert await storage.list(name) == []

    async def test_what_is_cancelled_leaves_nothing_even_when_it_is_collected(
        self, storage: ObjectStorage, name: str
    ) -> None:
        begun = asyncio.Event()

        async def upload() -> None:
            async with storage.writer(name, "image/png") as writer:
                await writer.write(CHUNK)
                begun.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(upload())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        assert await storage.list(name) == []

    async def test_a_writer_that_was_never_used_leaves_nothing(self, storage: ObjectStorage, name: str) -> None:
        async with storage.writer(name, "image/png"):
            pass
        assert await storage.list(name) == []

    async def test_another_object_of_the_same_name_is_not_overwritten(self, storage: ObjectStorage, name: str) -> None:
        first = await storage.put(name, b"some bytes", "image/png")
        with pytest.raises(errors.StorageUnavailable):
            async with storage.writer(name, "image/png") as writer:
                await writer.write(CHUNK)
                await writer.finish(b"end")
        assert await storage.stat(name) == first


class TestRead:
    @pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 9), (3, 5), (9, 9)])
    async def test_a_range_has_both_its_ends(self, storage: ObjectStorage, name: str, start: int, end: int) -> None:
        stored = await storage.put(name, b"0123456789", "image/png")
        for generation in (stored.generation, None):
            assert await storage.read(name, generation, start, end) == b"0123456789"[start : end + 1]

    async def test_content_comes_in_bounded_pieces(self, storage: ObjectStorage, name: str) -> None:
        body = CHUNK[: 2 * READ_CHUNK_BYTES + 5]
        stored = await storage.put(name, body, "image/png")
        pieces = [piece async for piece in content_chunks(storage, name, stored.generation, 3, len(body) - 1)]
        assert b"".join(pieces) == body[3:]
        assert max(map(len, pieces)) == READ_CHUNK_BYTES

    async def test_what_is_not_there_is_missing(self, storage: ObjectStorage, name: str) -> None:
        assert await storage.stat(name) is None
        with pytest.raises(ObjectMissing):
            await storage.read(name, None, 0, 1)
        with pytest.raises(ObjectMissing):
            await whole(storage, name, 5)

    async def test_another_generation_is_missing(self, storage: ObjectStorage, name: str) -> None:
        stored = await storage.put(name, b"some bytes", "image/png")
        with pytest.raises(ObjectMissing):
            await whole(storage, name, stored.generation + 1)
        with pytest.raises(ObjectMissing):
            await storage.read(name, stored.generation + 1, 0, 1)

    async def test_a_download_stops_at_its_limit(self, storage: ObjectStorage, name: str) -> None:
        stored = await storage.put(name, b"0123456789", "image/png")
        file = io.BytesIO()
        await storage.download(name, stored.generation, file, 10)
        with pytest.raises(ObjectTooLarge):
            await storage.download(name, stored.generation, io.BytesIO(), 9)


class TestDelete:
    async def test_one_generation_goes_and_another_stays(self, storage: ObjectStorage, name: str) -> None:
        stored = await storage.put(name, b"x", "image/png")
        await storage.delete(name, stored.generation + 1)
        assert await storage.stat(name) == stored
        await storage.delete(name, stored.generation)
        assert await storage.list(name) == []

    async def test_without_a_generation_everything_of_that_name_goes(self, storage: ObjectStorage, name: str) -> None:
        first = await storage.put(name, b"x", "image/png")
        await storage.delete(name, first.generation)
        await storage.put(name, b"y", "image/png")
        await storage.delete(name)
        assert await storage.list(name) == []

    async def test_neighbours_whose_names_begin_alike_stay(self, storage: ObjectStorage, name: str) -> None:
        for each in (name, name + "0", name + "/below"):
            await storage.put(each, b"x", "image/png")
        await storage.delete(name)
        assert [found.name for found in await storage.list(name)] == [name + "/below", name + "0"]

    async def test_what_is_not_there_is_gone_already(self, storage: ObjectStorage, name: str) -> None:
        await storage.delete(name)
        await storage.delete(name, 5)


class TestList:
    async def test_a_folder_is_listed_without_its_neighbours_in_order(self, storage: ObjectStorage, name: str) -> None:
        for each in ("a/2", "a/1", "ab/1", "a"):
            await storage.put(f"{name}/{each}", b"x", "image/png")
        assert [found.name for found in await storage.list(f"{name}/a/")] == [f"{name}/a/1", f"{name}/a/2"]
        assert len(await storage.list(f"{name}/a")) == 4
        assert await storage.list(f"{name}/nothing/") == []

    async def test_storage_that_answers_says_so(self, storage: ObjectStorage) -> None:
        await storage.check()


def any_request(_request: web.Request) -> bool:
    return True


def uploads_of_bytes(request: web.Request) -> bool:
    return request.method == "PUT" and not request.headers.get("Content-Range", "").startswith("bytes */")


async def reset(exchange: Exchange) -> web.StreamResponse:
    exchange.cut()
    return web.Response()


async def reset_after(exchange: Exchange) -> web.StreamResponse:
    """The work is done, and its answer is lost."""
    await exchange.send()
    exchange.cut()
    return web.Response()


async def unavailable(_exchange: Exchange) -> web.StreamResponse:
    return web.Response(status=503)


async def half(exchange: Exchange) -> web.StreamResponse:
    """A body that ends before its length says, as a broken connection leaves it."""
    status, headers, body = await exchange.send()
    return await exchange.answer(status, headers, body[: len(body) // 2], len(body))


async def flipped(exchange: Exchange) -> web.StreamResponse:
    """A body of the right length with one wrong byte."""
    status, headers, body = await exchange.send()
    spoilt = bytearray(body)
    spoilt[len(body) // 2] ^= 1
    return await exchange.answer(status, headers, bytes(spoilt))


class TestFaults:
    """Our client against a network that misbehaves."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "_RETRY_SECONDS", 1.0)

    @pytest.fixture
    async def network(self, emulators: Any) -> AsyncIterator[SpoiltNetwork]:
        async with SpoiltNetwork(emulators.storage_host).running() as network:
            yield network

    @pytest.fixture
    async def client(self, network: SpoiltNetwork) -> AsyncIterator[GcsClient]:
        client = GcsClient(network.url, None)
        yield client
        await client.close()

    @pytest.fixture
    def bucket(self, client: GcsClient, emulators: Any) -> GcsStorage:
        return client.bucket(emulators.settings["image_upload_bucket_name"])

    @pytest.mark.parametrize("fault", [reset, unavailable, reset_after])
    async def test_a_put_is_tried_again_and_meets_its_own_object(
        self, bucket: GcsStorage, network: SpoiltNetwork, name: str, fault: Any
    ) -> None:
        network.faults = [(any_request, fault)]
        stored = await bucket.put(name, b"some bytes", "image/png")
        assert network.faults == []
        assert await bucket.list(name) == [stored]

    @pytest.mark.parametrize("fault", [reset, unavailable, reset_after])
    async def test_a_restore_is_tried_again_and_meets_its_own_object(
        self, bucket: GcsStorage, network: SpoiltNetwork, name: str, fault: Any
    ) -> None:
        stored = await bucket.put(name, b"some bytes", "image/png")
        await bucket.delete(name, stored.generation)
        network.faults = [(lambda request: request.method == "POST", fault)]
        restored = await bucket.restore(name, stored.generation)
        assert network.faults == []
        assert await bucket.list(name) == [restored]

    @pytest.mark.parametrize("fault", [reset, unavailable, reset_after])
    @pytest.mark.parametrize("at", [0, 1, 2], ids=["session", "chunk", "last"])
    async def test_a_writer_goes_on_where_it_was(
        self, bucket: GcsStorage, network: SpoiltNetwork, name: str, fault: Any, at: int
    ) -> None:
        seen = -1

        def picks(request: web.Request) -> bool:
            nonlocal seen
            if request.method == "POST" and at == 0:
                return True
            seen += uploads_of_bytes(request)
            return uploads_of_bytes(request) and seen == at - 1

        network.faults = [(picks, fault)]
        async with bucket.writer(name, "image/png") as writer:
            await writer.write(CHUNK)
            stored = await writer.finish(b"end")
        assert network.faults == []
        assert stored.crc32c == crc32c_text(crc32c(CHUNK + b"end"))
        assert await bucket.list(name) == [stored]

    @pytest.mark.parametrize("fault", [reset, unavailable])
    async def test_storage_that_stays_away_is_unavailable(
        self, bucket: GcsStorage, network: SpoiltNetwork, name: str, fault: Any
    ) -> None:
        async def write() -> None:
            async with bucket.writer(name, "image/png") as writer:
                await writer.finish(b"x")

        for call in (
            lambda: bucket.put(name, b"x", "image/png"),
            lambda: bucket.stat(name),
            lambda: bucket.read(name, 1, 0, 1),
            lambda: bucket.download(name, 1, io.BytesIO(), 5),
            lambda: bucket.delete(name, 1),
            lambda: bucket.list(name),
            write,
            bucket.check,
        ):
            network.faults = [(any_request, fault)] * 50
            with pytest.raises(errors.StorageUnavailable):
                await call()

    @pytest.mark.parametrize("fault", [half, flipped])
    async def test_a_download_is_whole_or_none(
        self, bucket: GcsStorage, network: SpoiltNetwork, name: str, fault: Any
    ) -> None:
        stored = await bucket.put(name, CHUNK[:300_000], "image/png")
        network.faults = [(any_request, fault)] * 50
        with pytest.raises(errors.StorageUnavailable):
            await whole(bucket, name, stored.generation)

    @pytest.mark.parametrize("fault", [reset, unavailable, half])
    async def test_a_download_that_was_interrupted_is_tried_again_without_doubling_a_byte(
        self, bucket: GcsStorage, network: SpoiltNetwork, name: str, fault: Any
    ) -> None:
        stored = await bucket.put(name, CHUNK[:300_000], "image/png")
        network.faults = [(any_request, fault)]
        try:
            assert await whole(bucket, name, stored.generation) == CHUNK[:300_000]
        except errors.StorageUnavailable:
            # Giving up is allowed; a body that is not the object's is not.
            assert fault is half

    async def test_a_read_that_is_short_is_no_read(self, bucket: GcsStorage, network: SpoiltNetwork, name: str) -> None:
        stored = await bucket.put(name, CHUNK[:1000], "image/png")
        network.faults = [(any_request, half)] * 50
        with pytest.raises(errors.StorageUnavailable):
            await bucket.read(name, stored.generation, 0, 999)

    async def test_a_session_that_is_gone_is_unavailable(
        self, bucket: GcsStorage, network: SpoiltNetwork, name: str
    ) -> None:
        async def gone(_exchange: Exchange) -> web.StreamResponse:
            return web.Response(status=410)

        with pytest.raises(errors.StorageUnavailable):
            async with bucket.writer(name, "image/png") as writer:
                await writer.write(CHUNK)
                network.faults = [(uploads_of_bytes, gone)] * 50
                await writer.finish(b"end")
        network.faults = []
        assert await bucket.list(name) == []

    async def test_a_bucket_that_is_not_there_takes_nothing_and_says_nothing_about_an_object(
        self, client: GcsClient, name: str
    ) -> None:
        missing = client.bucket("no-such-bucket")
        for call in (
            lambda: missing.put(name, b"x", "image/png"),
            lambda: missing.stat(name),
            lambda: missing.delete(name, 1),
            lambda: missing.read(name, 1, 0, 1),
            lambda: missing.download(name, 1, io.BytesIO(), 5),
        ):
            with pytest.raises(errors.StorageUnavailable):
                await call()
        with pytest.raises(errors.StorageUnavailable):
            async with missing.writer(name, "image/png") as writer:
                await writer.finish(b"x")
