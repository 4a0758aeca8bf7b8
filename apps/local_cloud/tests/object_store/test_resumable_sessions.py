"""Uploads in sessions, as Google's resumable protocol has them."""

import base64
import hashlib
import time
from typing import Any

import httpx2
import pytest

from .test_object_store import break_off, noise, send_part


def test_a_resumable_session_step_by_step(running_store: Any) -> None:
    bucket = running_store.client().bucket("originals")
    data = noise(600_000)
    session = bucket.blob("s").create_resumable_upload_session(content_type="image/png")
    assert session.startswith(running_store.url)
    fresh = httpx2.put(session, headers={"Content-Range": "bytes */*"})
    assert (fresh.status_code, "range" in fresh.headers) == (308, False)
    part = httpx2.put(session, content=data[:262_144], headers={"Content-Range": "bytes 0-262143/*"})
    assert (part.status_code, part.headers["range"]) == (308, "bytes=0-262143")
    gap = httpx2.put(session, content=data[262_145:], headers={"Content-Range": "bytes 262145-599999/600000"})
    assert gap.status_code == 400
    query = httpx2.put(session, headers={"Content-Range": "bytes */600000"})
    assert (query.status_code, query.headers["range"]) == (308, "bytes=0-262143")
    # Bytes that are sent again are passed over.
    done = httpx2.put(session, content=data[200_000:], headers={"Content-Range": "bytes 200000-599999/600000"})
    assert (done.status_code, done.json()["size"]) == (200, "600000")
    again = httpx2.put(session, headers={"Content-Range": "bytes */600000"})
    assert again.json()["generation"] == done.json()["generation"]
    blob = bucket.get_blob("s")
    assert (blob.download_as_bytes(), blob.content_type) == (data, "image/png")


@pytest.mark.parametrize(("last", "total"), [(99_999, "*"), (99_999, "600000"), (299_999, "*"), (299_999, "600000")])
def test_a_piece_that_is_not_the_last_is_a_multiple_of_256_kib(running_store: Any, last: int, total: str) -> None:
    data = noise(600_000)
    session = running_store.client().bucket("originals").blob("s").create_resumable_upload_session()
    named = {"Content-Range": f"bytes 0-{last}/{total}"}
    refused = httpx2.put(session, content=data[: last + 1], headers=named)
    assert refused.status_code == 400
    assert "multiple of 262144" in refused.text
    # The session is as it was, and takes the file.
    query = httpx2.put(session, headers={"Content-Range": "bytes */600000"})
    assert (query.status_code, "range" in query.headers) == (308, False)
    assert httpx2.put(session, content=data).json()["size"] == "600000"


def test_the_last_piece_has_any_size(running_store: Any) -> None:
    data = noise(262_145)
    session = running_store.client().bucket("originals").blob("s").create_resumable_upload_session(size=len(data))
    httpx2.put(session, content=data[:262_144], headers={"Content-Range": "bytes 0-262143/262145"})
    done = httpx2.put(session, content=data[262_144:], headers={"Content-Range": "bytes 262144-262144/262145"})
    assert (done.status_code, done.json()["size"]) == (200, "262145")


@pytest.mark.parametrize("headers", [{}, {"Content-Range": "bytes 0-1000/1001"}, {"Content-Range": "bytes 0-999/1001"}])
def test_no_more_bytes_than_announced_are_stored(running_store: Any, headers: dict[str, str]) -> None:
    blob = running_store.client().bucket("originals").blob("s")
    session = blob.create_resumable_upload_session(size=1000)
    sent = noise(1000 if headers.get("Content-Range", "").startswith("bytes 0-999") else 1001)
    assert httpx2.put(session, content=sent, headers=headers).status_code == 400
    assert not blob.exists()


def test_a_cancelled_session_leaves_nothing(running_store: Any) -> None:
    session = running_store.client().bucket("originals").blob("s").create_resumable_upload_session()
    httpx2.put(session, content=noise(262_144), headers={"Content-Range": "bytes 0-262143/*"})
    assert running_store.files()
    assert httpx2.delete(session).status_code == 499
    assert running_store.files() == []
    assert httpx2.put(session, content=b"late").status_code == 410
    assert httpx2.put(session.replace("upload_id=", "upload_id=0"), content=b"x").status_code == 404


def test_a_chunk_that_breaks_off_can_be_resumed(running_store: Any) -> None:
    data = noise(700_000)
    session = running_store.client().bucket("originals").blob("s").create_resumable_upload_session()
    break_off(session, "PUT", data[:500_000], {"Content-Range": "bytes 0-699999/700000", "Content-Length": "700000"})
    time.sleep(0.1)
    query = httpx2.put(session, headers={"Content-Range": "bytes */700000"})
    kept = int(query.headers["range"].removeprefix("bytes=0-")) + 1
    assert kept == 262_144
    done = httpx2.put(session, content=data[kept:], headers={"Content-Range": f"bytes {kept}-699999/700000"})
    assert done.json()["md5Hash"] == base64.b64encode(hashlib.md5(data).digest()).decode()


def test_a_client_that_comes_back_takes_over_from_its_hanging_request(running_store: Any) -> None:
    data = noise(600_000)
    session = running_store.client().bucket("originals").blob("s").create_resumable_upload_session()
    hanging = send_part(session, "PUT", data[:300_000], {"Content-Length": "600000"})
    time.sleep(0.1)
    query = httpx2.put(session, headers={"Content-Range": "bytes */*"}, timeout=3)
    assert query.headers["range"] == "bytes=0-262143"
    hanging.close()
