from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa


def signed(store: Any, method: str, name: str = "team/ö x.png", **arguments: Any) -> str:
    credentials = arguments.pop("credentials", None) or store.signing_credentials()
    blob = store.client().bucket("originals").blob(name)
    expiration = arguments.pop("expiration", timedelta(minutes=5))
    url: str = blob.generate_signed_url(
        version="v4",
        method=method,
        credentials=credentials,
        api_access_endpoint=store.url,
        expiration=expiration,
        **arguments,
    )
    return url


def test_put_then_get(running_store: Any) -> None:
    put = httpx2.put(
        signed(running_store, "PUT", content_type="image/png"), content=b"bytes", headers={"Content-Type": "image/png"}
    )
    assert put.status_code == 200, put.text
    blob = running_store.client().bucket("originals").get_blob("team/ö x.png")
    assert (blob.content_type, str(blob.generation)) == ("image/png", put.headers["x-goog-generation"])
    got = httpx2.get(signed(running_store, "GET", response_disposition="attachment"), headers={"Range": "bytes=1-2"})
    assert (got.status_code, got.content, got.headers["content-disposition"]) == (206, b"yt", "attachment")


def test_nothing_without_or_with_a_wrong_signature(running_store: Any) -> None:
    url = signed(running_store, "PUT")
    other_key = running_store.signing_credentials(key=rsa.generate_private_key(65537, 2048))
    stranger = running_store.signing_credentials(email="stranger@example.com")
    attempts = {
        "unsigned": httpx2.put(url.split("?", maxsplit=1)[0], content=b"x"),
        "other method": httpx2.get(url),
        "other object": httpx2.put(url.replace("team", "tram"), content=b"x"),
        "other query": httpx2.put(url + "&generation=5", content=b"x"),
        "other key": httpx2.put(signed(running_store, "PUT", credentials=other_key), content=b"x"),
        "other account": httpx2.put(signed(running_store, "PUT", credentials=stranger), content=b"x"),
        "extra header": httpx2.put(url, content=b"x", headers={"x-goog-meta-a": "b"}),
        "json api": httpx2.get(f"{running_store.url}/storage/v1/b?{urlsplit(url).query}"),
    }
    assert {name: answer.status_code for name, answer in attempts.items()} == dict.fromkeys(attempts, 403)
    assert "<Code>SignatureDoesNotMatch</Code>" in attempts["other object"].text
    assert running_store.files() == []


def test_expiry(running_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.cloud.storage import _signing

    stamps = {}
    for name, age in {
        "old": timedelta(minutes=6),
        "young": timedelta(minutes=4),
        "future": -timedelta(hours=1),
    }.items():
        moment = datetime.now(UTC) - age
        stamp = (moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d"))
        monkeypatch.setattr(_signing, "get_v4_now_dtstamps", lambda stamp=stamp: stamp)
        stamps[name] = httpx2.put(signed(running_store, "PUT", expiration=300), content=b"x")
    assert {name: answer.status_code for name, answer in stamps.items()} == {"old": 400, "young": 200, "future": 403}
    assert "<Code>ExpiredToken</Code>" in stamps["old"].text
    monkeypatch.undo()
    too_long = signed(running_store, "PUT", expiration=300).replace("X-Goog-Expires=300", "X-Goog-Expires=604801")
    assert httpx2.put(too_long, content=b"x").status_code == 400


def test_bound_headers_are_checked(running_store: Any) -> None:
    headers = {"x-goog-content-length-range": "2,5", "x-goog-if-generation-match": "0"}
    url = signed(running_store, "PUT", headers=dict(headers), content_type="image/png")
    sent = {**headers, "Content-Type": "image/png"}
    assert httpx2.put(url, content=b"123", headers=headers).status_code == 400
    assert httpx2.put(url, content=b"123", headers={**sent, "Content-Type": "text/html"}).status_code == 403
    wide = {**sent, "x-goog-content-length-range": "0,999"}
    assert httpx2.put(url, content=b"123", headers=wide).status_code == 403
    too_large = httpx2.put(url, content=b"123456", headers=sent)
    assert (too_large.status_code, "EntityTooLarge" in too_large.text) == (400, True)
    in_chunks = httpx2.put(url, content=iter([b"123", b"456"]), headers=sent)
    assert (in_chunks.status_code, "EntityTooLarge" in in_chunks.text) == (400, True)
    assert "EntityTooSmall" in httpx2.put(url, content=b"1", headers=sent).text
    assert running_store.files() == []
    assert httpx2.put(url, content=b"12345", headers=sent).status_code == 200
    again = httpx2.put(url, content=b"54321", headers=sent)
    assert (again.status_code, "<Code>PreconditionFailed</Code>" in again.text) == (412, True)


def test_resumable_start(running_store: Any) -> None:
    headers = {"x-goog-content-length-range": "0,300000"}
    url = signed(running_store, "RESUMABLE", headers=dict(headers), content_type="image/png")
    start = {**headers, "x-goog-resumable": "start", "Content-Type": "image/png"}
    begun = httpx2.post(url, headers=start)
    assert begun.status_code == 201, begun.text
    session = begun.headers["location"]
    part = httpx2.put(session, content=b"a" * 262_144, headers={"Content-Range": "bytes 0-262143/*"})
    assert (part.status_code, part.headers["range"]) == (308, "bytes=0-262143")
    done = httpx2.put(session, content=b"b", headers={"Content-Range": "bytes 262144-262144/262145"})
    assert (done.status_code, done.content) == (200, b"")
    blob = running_store.client().bucket("originals").get_blob("team/ö x.png")
    assert (blob.size, blob.content_type) == (262_145, "image/png")
    second = httpx2.post(url, headers=start).headers["location"]
    assert httpx2.put(second, content=b"a" * 300_001).status_code == 400
    assert httpx2.put(second, content=b"a").status_code == 410
    assert httpx2.post(url, headers={**start, "x-goog-resumable": "other"}).status_code == 403
