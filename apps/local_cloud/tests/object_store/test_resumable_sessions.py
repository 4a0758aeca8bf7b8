"""Uploads in sessions, as Google's resumable protocol has them."""

import base64
import hashlib
import time
from typing import Any

import httpx2

from .test_object_store import break_off, noise, send_part


def test_a_resumable_session_step_by_step(running_store: Any) -> None:
    bucket = running_store.client().bucket("originals")
    data = noise(600_000)
    session = bucket.blob("s").create_resumable_upload_session(content_type="image/png")
    assert session.startswith(running_store.url)
    fresh = httpx2.put(session, headers={"Content-Range": "bytes */*"})
    assert (fresh.status_code, "range" in fresh.headers) == (308, False)
    # A chunk that is no multiple of 256 KiB is kept as far as whole multiples go.
    part = httpx2.put(session, content=data[:300_000], headers={"Content-Range": "bytes 0-299999/*"})
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
