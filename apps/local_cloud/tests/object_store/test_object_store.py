import asyncio
import base64
import errno
import hashlib
import io
import json
import socket
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed, RequestRangeNotSatisfiable
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.object_store.api.ranges import requested_span
from local_cloud.object_store.catalog import Catalog, Listing, ListPosition
from local_cloud.object_store.content import ContentWriter
from local_cloud.object_store.errors import StoreError
from local_cloud.object_store.records import Content, Preconditions, UploadTarget
from local_cloud.object_store.store import ObjectStore

from ..emulator_process import eventually

MIB = 1 << 20


def noise(size: int) -> bytes:
    return hashlib.shake_128(str(size).encode()).digest(size)


@pytest.mark.parametrize("size", [0, 1, 70_000, MIB, 3 * MIB + 17])
def test_upload_and_download_with_the_real_client(running_store: Any, size: int) -> None:
    blob = running_store.client().bucket("originals").blob("a/b c/ü.png")
    data = noise(size)
    blob.upload_from_file(io.BytesIO(data), content_type="image/png", checksum="crc32c")
    assert blob.size == size
    assert blob.md5_hash == base64.b64encode(hashlib.md5(data).digest()).decode()
    target = io.BytesIO()
    blob.download_to_file(target)
    assert target.getvalue() == data
    fresh = running_store.client().bucket("originals").get_blob("a/b c/ü.png")
    assert (fresh.content_type, fresh.generation) == ("image/png", blob.generation)


def test_writer_in_chunks_and_its_abort(running_store: Any) -> None:
    bucket = running_store.client().bucket("originals")
    data = noise(5 * MIB + 3)
    with bucket.blob("big").open("wb", chunk_size=MIB, if_generation_match=0) as writer:
        for start in range(0, len(data), 300_000):
            writer.write(data[start : start + 300_000])
    assert bucket.blob("big").download_as_bytes() == data

    writer = bucket.blob("aborted").open("wb", chunk_size=MIB)
    writer.write(noise(3 * MIB))
    writer.terminate()
    assert bucket.get_blob("aborted") is None


def test_a_writer_that_ends_exactly_on_a_chunk(running_store: Any) -> None:
    bucket = running_store.client().bucket("originals")
    with bucket.blob("exact").open("wb", chunk_size=MIB) as writer:
        writer.write(noise(2 * MIB))
    assert bucket.get_blob("exact").size == 2 * MIB


def test_preconditions_of_writes_reads_and_deletes(running_store: Any) -> None:
    bucket = running_store.client().bucket("originals")
    blob = bucket.blob("one")
    blob.upload_from_string(b"1", if_generation_match=0)
    first = blob.generation
    with pytest.raises(PreconditionFailed):
        bucket.blob("one").upload_from_string(b"2", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("one").upload_from_string(b"2", if_generation_match=first + 1)
    bucket.blob("one").upload_from_string(b"2", if_generation_match=first)
    with pytest.raises(PreconditionFailed):
        bucket.blob("one").download_as_bytes(if_generation_match=first)
    with pytest.raises(PreconditionFailed):
        bucket.blob("one").delete(if_generation_match=first)
    with pytest.raises(PreconditionFailed):
        bucket.blob("one").delete(if_metageneration_match=9)
    with pytest.raises(NotFound):
        bucket.blob("absent").delete(if_generation_match=first)
    assert bucket.blob("one").download_as_bytes() == b"2"
    current = bucket.get_blob("one").generation
    url = f"{running_store.url}/storage/v1/b/originals/o/one?ifGenerationNotMatch={current}"
    assert httpx2.get(url).status_code == 304


def test_precondition_is_checked_when_a_session_is_finished(running_store: Any) -> None:
    bucket = running_store.client().bucket("originals")
    session = bucket.blob("raced").create_resumable_upload_session(size=3, if_generation_match=0)
    bucket.blob("raced").upload_from_string(b"winner")
    refused = httpx2.put(session, content=b"abc")
    assert refused.status_code == 412
    assert refused.json()["error"]["errors"][0]["reason"] == "conditionNotMet"
    assert bucket.blob("raced").download_as_bytes() == b"winner"
    assert len(running_store.files()) == 1


def test_two_writers_of_a_new_object_and_one_wins(running_store: Any) -> None:
    def upload(content: bytes) -> bool:
        try:
            running_store.client().bucket("originals").blob("race").upload_from_string(content, if_generation_match=0)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(upload, [bytes([n]) * 100_000 for n in range(8)])) == 1


def test_metadata_and_metageneration(running_store: Any) -> None:
    bucket = running_store.client().bucket("originals")
    blob = bucket.blob("m")
    blob.metadata = {"team": "t1", "drop": "x"}
    blob.cache_control = "no-store"
    blob.upload_from_string(b"x")
    fresh = bucket.get_blob("m")
    assert (fresh.metadata, fresh.metageneration) == ({"team": "t1", "drop": "x"}, 1)
    fresh.metadata = {"team": "t2", "drop": None}
    fresh.patch(if_metageneration_match=1)
    again = bucket.get_blob("m")
    assert (again.metadata, again.metageneration, again.cache_control) == ({"team": "t2"}, 2, "no-store")
    with pytest.raises(PreconditionFailed):
        fresh.patch(if_metageneration_match=1)


def test_versions_stay_readable_until_each_is_deleted(running_store: Any) -> None:
    bucket = running_store.client().bucket("originals")
    generations = []
    for content in (b"1", b"22", b"333"):
        blob = bucket.blob("v")
        blob.upload_from_string(content)
        generations.append(blob.generation)
    assert generations == sorted(set(generations))
    assert bucket.blob("v", generation=generations[0]).download_as_bytes() == b"1"
    bucket.blob("v").delete()
    assert bucket.get_blob("v") is None
    assert [b.generation for b in bucket.list_blobs(versions=True)] == generations
    assert list(bucket.list_blobs()) == []
    assert all(b.time_deleted for b in bucket.list_blobs(versions=True))
    for generation in generations:
        bucket.blob("v", generation=generation).delete()
    assert list(bucket.list_blobs(versions=True)) == []
    assert running_store.files() == []


def test_without_versioning_an_overwrite_removes_the_old_bytes(running_store: Any) -> None:
    bucket = running_store.client().bucket("derivatives")
    old = bucket.blob("d")
    old.upload_from_string(b"old")
    bucket.blob("d").upload_from_string(b"new")
    with pytest.raises(NotFound):
        bucket.blob("d", generation=old.generation).download_as_bytes()
    assert len(running_store.files()) == 1


def with_soft_delete(running_store: Any, name: str, seconds: int) -> Any:
    bucket = running_store.client().get_bucket(name)
    bucket.soft_delete_policy.retention_duration_seconds = seconds
    bucket.patch()
    return bucket


def test_what_is_deleted_with_its_generation_is_restored_with_the_real_client(running_store: Any) -> None:
    bucket = with_soft_delete(running_store, "originals", 60)
    assert bucket.versioning_enabled
    blob = bucket.blob("s/1")
    blob.metadata = {"a": "b"}
    blob.upload_from_string(b"bytes", content_type="image/gif")
    bucket.blob("s/1").delete()
    # A noncurrent generation is not soft-deleted: it was kept, and its bytes can still be read.
    assert list(bucket.list_blobs(soft_deleted=True)) == []
    bucket.blob("s/1", generation=blob.generation).delete()
    assert list(bucket.list_blobs(versions=True)) == []
    with pytest.raises(NotFound):
        bucket.blob("s/1", generation=blob.generation).download_as_bytes()
    with pytest.raises(BadRequest):
        list(bucket.list_blobs(soft_deleted=True, versions=True))
    (deleted,) = bucket.list_blobs(soft_deleted=True, prefix="s/")
    assert (deleted.generation, deleted.size) == (blob.generation, 5)
    assert (deleted.hard_delete_time - deleted.soft_delete_time).total_seconds() == pytest.approx(60, abs=0.1)
    restored = bucket.restore_blob("s/1", generation=blob.generation, if_generation_match=0)
    assert restored.generation > blob.generation
    assert (restored.content_type, restored.metadata, restored.soft_delete_time) == ("image/gif", {"a": "b"}, None)
    assert bucket.blob("s/1").download_as_bytes() == b"bytes"
    with pytest.raises(PreconditionFailed):
        bucket.restore_blob("s/1", generation=blob.generation, if_generation_match=0)
    with pytest.raises(NotFound):
        bucket.restore_blob("s/1", generation=restored.generation)
    eventually(lambda: len(running_store.published) == 2)


def test_an_overwrite_without_versioning_is_a_deletion(running_store: Any) -> None:
    bucket = with_soft_delete(running_store, "derivatives", 60)
    for content in (b"old", b"new"):
        bucket.blob("d").upload_from_string(content)
    assert [blob.size for blob in bucket.list_blobs(soft_deleted=True)] == [3]


async def one_chunk() -> AsyncIterator[bytes]:
    yield b"bytes"


async def test_soft_deleted_bytes_survive_a_restart_and_go_when_their_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(tmp_path / "store")
    store.catalog.configure_bucket("b", versioning=False, topic=None, soft_delete_seconds=60)
    for name in ("early", "late"):
        stored = await store.receive(UploadTarget("b", name), one_chunk())
        store.remove_files(store.catalog.delete("b", name, stored.generation, Preconditions()))
        if name == "early":
            store.catalog.connection.execute("UPDATE soft_deleted SET hard_delete_at = soft_deleted_at")
            # Nobody sees it, even before it is removed.
            assert store.catalog.find_soft_deleted("b", name, stored.generation) is None
            assert store.list_page(Listing("b", soft_deleted=True), ListPosition(), 10)[0] == []
    store.remove_overdue()
    assert len(list(store.blobs.iterdir())) == 1
    store.close()
    store = ObjectStore(tmp_path / "store")
    assert [found.name for found in store.list_page(Listing("b", soft_deleted=True), ListPosition(), 10)[0]] == ["late"]
    assert len(list(store.blobs.iterdir())) == 1
    monkeypatch.setattr("local_cloud.object_store.store.OVERDUE_BATCH", 1)
    store.catalog.connection.execute("UPDATE soft_deleted SET hard_delete_at = soft_deleted_at")
    removing = asyncio.create_task(store.keep_removing_overdue())
    while list(store.blobs.iterdir()):
        await asyncio.sleep(0.01)
    removing.cancel()
    store.close()


def test_a_catalog_of_an_earlier_release_gets_soft_delete(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None)
    columns = "name TEXT PRIMARY KEY, versioning INTEGER NOT NULL, topic TEXT, created_at TEXT NOT NULL"
    connection.execute(f"CREATE TABLE bucket ({columns}) WITHOUT ROWID")
    connection.execute("INSERT INTO bucket VALUES ('b', 1, NULL, '2026-01-01T00:00:00.000Z')")
    connection.close()
    catalog = Catalog(tmp_path / "catalog.sqlite", lambda _stored, _generation: (b"", {}))
    assert catalog.bucket("b").soft_delete_seconds == 0
    assert catalog.configure_bucket("b", versioning=True, topic=None, soft_delete_seconds=60).soft_delete_seconds == 60
    catalog.close()


def test_listing_pages_prefixes_and_delimiters(running_store: Any) -> None:
    bucket = running_store.client().bucket("derivatives")
    names = ["a/1", "a/2", "a/b/3", "ab", "b/1", "b/2", "c"]
    for name in names:
        bucket.blob(name).upload_from_string(b"x")
    assert [b.name for b in bucket.list_blobs(prefix="a/")] == ["a/1", "a/2", "a/b/3"]
    assert [b.name for b in bucket.list_blobs(page_size=2)] == names
    for size in (1, 2, 3, 100):
        found = bucket.list_blobs(delimiter="/", page_size=size)
        assert [b.name for b in found] == ["ab", "c"]
        assert found.prefixes == {"a/", "b/"}
    assert [b.name for b in bucket.list_blobs(prefix="a/", delimiter="/")] == ["a/1", "a/2"]
    assert [b.name for b in bucket.list_blobs(start_offset="ab", end_offset="c")] == ["ab", "b/1", "b/2"]
    bad = httpx2.get(f"{running_store.url}/storage/v1/b/derivatives/o?pageToken=%21")
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, 400)


def test_ranges_and_head(running_store: Any) -> None:
    blob = running_store.client().bucket("originals").blob("r")
    data = noise(200_000)
    blob.upload_from_string(data)
    assert blob.download_as_bytes(start=5, end=9) == data[5:10]
    assert blob.download_as_bytes(start=199_990) == data[-10:]
    with pytest.raises(RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=200_000)
    url = f"{running_store.url}/download/storage/v1/b/originals/o/r?alt=media"
    suffix = httpx2.get(url, headers={"Range": "bytes=-3"})
    assert (suffix.status_code, suffix.content) == (206, data[-3:])
    assert suffix.headers["content-range"] == "bytes 199997-199999/200000"
    head = httpx2.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "200000", b"")
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    assert head.headers["x-goog-hash"].endswith(f"md5={md5}")


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_what_slicing_gives(size: int, first: int, last: int) -> None:
    data = bytes(range(size))
    if first >= size and last >= first:
        with pytest.raises(StoreError):
            requested_span(f"bytes={first}-{last}", size)
        return
    span = requested_span(f"bytes={first}-{last}", size)
    if span is None:
        assert last < first
    else:
        assert data[span[0] : span[0] + span[1]] == data[first : last + 1] != b""


def send_part(url: str, method: str, body: bytes, headers: dict[str, str]) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    lines = [f"{method} {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return connection


def break_off(url: str, method: str, body: bytes, headers: dict[str, str]) -> None:
    send_part(url, method, body, headers).close()


def test_an_aborted_simple_upload_leaves_nothing(running_store: Any) -> None:
    url = f"{running_store.url}/upload/storage/v1/b/originals/o?uploadType=media&name=half"
    break_off(url, "POST", noise(2 * MIB), {"Content-Length": str(3 * MIB)})
    eventually(lambda: running_store.files() == [])
    assert httpx2.get(f"{running_store.url}/storage/v1/b/originals/o/half").status_code == 404


def test_announced_hashes_are_checked(running_store: Any) -> None:
    blob = running_store.client().bucket("originals").blob("h")
    blob.md5_hash = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(BadRequest, match="MD5"):
        blob.upload_from_string(b"these")
    url = f"{running_store.url}/upload/storage/v1/b/originals/o?uploadType=media&name=h"
    assert httpx2.post(url, content=b"x", headers={"x-goog-hash": "crc32c=AAAAAA=="}).status_code == 400
    assert running_store.files() == []


def test_multipart_bodies_that_hold_something_like_their_boundary(running_store: Any) -> None:
    media = b"\r\n--boundar\r\n\r\n--bounda" * 9000
    body = (
        b'--boundary\r\nContent-Type: application/json\r\n\r\n{"name": "n"}\r\n--boundary\r\nContent-Type: a/b\r\n\r\n'
    )
    url = f"{running_store.url}/upload/storage/v1/b/originals/o?uploadType=multipart"
    headers = {"Content-Type": "multipart/related; boundary=boundary"}
    done = httpx2.post(url, content=body + media + b"\r\n--boundary--\r\n", headers=headers)
    assert (done.json()["size"], done.json()["contentType"]) == (str(len(media)), "a/b")
    cut = httpx2.post(url, content=body + media, headers=headers)
    assert cut.status_code == 400
    assert len(running_store.files()) == 1


def test_copies_and_buckets(running_store: Any) -> None:
    client = running_store.client()
    source = client.bucket("originals").blob("from")
    source.upload_from_string(b"bytes", content_type="image/gif")
    copied = client.bucket("originals").copy_blob(source, client.bucket("derivatives"), "to")
    assert (copied.download_as_bytes(), copied.content_type) == (b"bytes", "image/gif")
    scratch = client.create_bucket("scratch")
    with pytest.raises(Conflict):
        client.create_bucket("scratch")
    assert [bucket.name for bucket in client.list_buckets()] == ["derivatives", "originals", "scratch"]
    assert not scratch.versioning_enabled
    scratch.versioning_enabled = True
    scratch.patch()
    assert client.get_bucket("scratch").versioning_enabled
    scratch.delete()
    with pytest.raises(NotFound):
        client.get_bucket("scratch")
    with pytest.raises(NotFound):
        client.bucket("scratch").blob("x").upload_from_string(b"x")


def test_every_new_object_is_notified_as_the_service_does(running_store: Any) -> None:
    bucket = running_store.client().bucket("originals")
    first = bucket.blob("n")
    first.upload_from_string(b"1", content_type="image/png")
    with bucket.blob("n").open("wb") as writer:
        writer.write(b"2")
    running_store.client().bucket("derivatives").blob("quiet").upload_from_string(b"x")
    eventually(lambda: len(running_store.published) == 2)
    topic, data, attributes = running_store.published[0]
    resource = json.loads(data)
    assert topic == "image-uploads"
    assert (resource["name"], resource["generation"], resource["size"]) == ("n", str(first.generation), "1")
    assert attributes.pop("eventTime")
    assert attributes == {
        "notificationConfig": "projects/_/buckets/originals/notificationConfigs/1",
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": "originals",
        "objectId": "n",
        "objectGeneration": str(first.generation),
    }
    assert running_store.published[1][2]["overwroteGeneration"] == str(first.generation)


def test_many_at_once_while_one_is_slow(running_store: Any) -> None:
    url = f"{running_store.url}/upload/storage/v1/b/originals/o?uploadType=media&name=slow"
    slow = send_part(url, "POST", b"x" * 1000, {"Content-Length": "2000"})

    def there_and_back(number: int) -> bool:
        blob = running_store.client().bucket("originals").blob(f"many/{number}")
        data = noise(400_000 + number)
        blob.upload_from_string(data)
        return bool(blob.download_as_bytes() == data)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(24)))
    slow.sendall(b"x" * 1000)
    assert slow.recv(12) == b"HTTP/1.1 200"
    slow.close()


async def test_a_full_disk_refuses_the_upload_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: ContentWriter, _chunks: list[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * MIB

    store = ObjectStore(tmp_path / "store")
    store.catalog.create_bucket("b")
    monkeypatch.setattr(ContentWriter, "_store", full)
    with pytest.raises(OSError, match="No space"):
        await store.receive(UploadTarget("b", "n"), body())
    assert list(store.blobs.iterdir()) == []
    assert store.catalog.find("b", "n") is None
    store.close()


def test_notifications_that_could_not_be_published_are_tried_again(tmp_path: Path) -> None:
    published: list[str] = []

    async def publish(topic: str, _data: bytes, attributes: dict[str, str]) -> None:
        published.append(attributes["objectId"])
        if len(published) == 1:
            raise ConnectionError

    async def upload_twice() -> None:
        store = ObjectStore(tmp_path / "store", publish=publish)
        store.catalog.configure_bucket("b", versioning=False, topic="t")
        for name in ("1", "2"):
            store.commit(UploadTarget("b", name), Content("absent", 0, "", ""))
        sending = asyncio.create_task(store.send_notifications())
        while store.catalog.owed_notifications():
            await asyncio.sleep(0.01)
        sending.cancel()
        store.close()

    asyncio.run(upload_twice())
    assert published == ["1", "1", "2"]
