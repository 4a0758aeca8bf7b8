"""Answers with stored pictures: their headers, ranges, conditions, and where their bytes come from."""

import asyncio
import hashlib
import os
from typing import Any

import pytest

from image_core import errors
from image_core.delivery.encoding import image_text
from image_core.delivery.spec import Recipe
from image_core.storage.protocol import READ_CHUNK_BYTES, ObjectMissing
from image_delivery.derivatives.memory import MOST_PICTURE_BYTES

from ..conftest import Answer, Delivery, MakeDelivery, Team

NOW_MINUTES = 29_000_000
SMALL, LARGE = b"0123456789" * 10, os.urandom(READ_CHUNK_BYTES * 2 + 77)
THUMB = Recipe(width_px=256, height_px=256)


def at(delivery: Delivery, minutes: float) -> None:
    delivery.serving.verification.now = lambda: minutes * 60


@pytest.fixture
async def team(delivery: Delivery) -> Team:
    return await delivery.team()


@pytest.fixture
async def small(delivery: Delivery, team: Team) -> str:
    """The address of a small picture."""
    return team.address(await delivery.shown(team, SMALL))


@pytest.fixture
async def large(delivery: Delivery, team: Team) -> str:
    """The address of one that is sent in several pieces."""
    return team.address(await delivery.shown(team, LARGE))


def object_reads(delivery: Delivery) -> int:
    return sum(name.startswith("derivatives/") for name in delivery.queries)


# --- Headers ---------------------------------------------------------------------------------------------------------


async def test_a_picture_has_the_headers_that_pages_and_caches_need(delivery: Delivery, team: Team) -> None:
    row = await delivery.shown(team, SMALL)
    answer = await delivery.get(team.address(row))
    headers = answer.headers
    assert headers.pop("server-timing").startswith("permit;dur=")
    assert headers == {
        "cross-origin-resource-policy": "cross-origin",
        "access-control-allow-origin": "*",
        "timing-allow-origin": "*",
        "access-control-expose-headers": "Server-Timing, X-Derivative, ETag",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "etag": f'"{hashlib.sha256(SMALL).hexdigest()}"',
        "accept-ranges": "bytes",
        "content-type": "image/webp",
        "content-length": "100",
        "content-disposition": f'inline; filename="{row["id"]}-thumb.webp"',
        "cache-control": "public, max-age=300, s-maxage=300",
        "cache-tag": f"image-{row['id']}",
        "x-derivative": "hit",
    }


SHARED = "cross-origin-resource-policy access-control-allow-origin x-content-type-options content-security-policy"


@pytest.mark.parametrize("path", ["/i/nothing", "/i/", "/i/public/x/thumb.webp", "expired", "method", "range", "wrong"])
async def test_no_refusal_holds_a_picture_or_lacks_the_headers(
    delivery: Delivery, team: Team, small: str, path: str
) -> None:
    row = await delivery.shown(team)
    answer = await {
        "expired": lambda: delivery.get(team.address(row, expiry=1)),
        "method": lambda: delivery.get(small, "POST"),
        "range": lambda: delivery.get(small, range="bytes=100-"),
        "wrong": lambda: delivery.get(team.address(row, "t-w1.webp")),
    }.get(path, lambda: delivery.get(path))()
    assert 400 <= answer.status_code < 500
    assert set(SHARED.split()) <= answer.headers.keys()
    assert not answer.headers.get("content-type", "").startswith("image/")
    assert SMALL not in answer.content
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_errors_name_a_page_of_the_api(make_delivery: MakeDelivery) -> None:
    async with make_delivery(public_base_url="https://api.example/") as delivery:
        team = await delivery.team()
        answer = await delivery.get(team.address(await delivery.shown(team), expiry=1))
    assert answer.json()["type"] == "https://api.example/errors/delivery-expired"


async def test_options_names_the_methods_and_others_are_refused(delivery: Delivery, small: str) -> None:
    answer = await delivery.get(small, "OPTIONS")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == answer.headers["allow"] == "GET, HEAD"
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "get"):
        answer = await delivery.get(small, method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_head_is_get_without_the_bytes(delivery: Delivery, team: Team, small: str, large: str) -> None:
    for address in (small, large):
        full, head = await delivery.get(address), await delivery.get(address, "HEAD")
        assert (head.status_code, head.content) == (200, b"")
        assert {**head.headers, "server-timing": ""} == {**full.headers, "server-timing": ""}
    expired = team.address(await delivery.shown(team), expiry=1)
    for address, status in (("/i/x", 404), (expired, 410)):
        full, head = await delivery.get(address), await delivery.get(address, "HEAD")
        assert (head.status_code, head.content) == (status, b"")
        assert head.headers == full.headers


# --- How long caches may keep it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "minutes_left", "expected"),
    [
        ("hash", None, "public, max-age=86400, s-maxage=600"),
        ("hash", 60 * 24 * 7, "public, max-age=86400, s-maxage=600"),
        ("hash", 60, "public, max-age=3600, s-maxage=600"),
        ("hash", 2, "public, max-age=120, s-maxage=120"),
        ("other hash", None, "public, max-age=300, s-maxage=300"),
        ("no hash", None, "public, max-age=300, s-maxage=300"),
        ("no hash", 2, "public, max-age=120, s-maxage=120"),
        ("transforms", None, "public, max-age=86400, s-maxage=600"),
        ("focal point", None, "public, max-age=300, s-maxage=300"),
        ("original", 60, "public, max-age=3600, s-maxage=600"),
    ],
)
async def test_caches_keep_a_picture_for_the_rest_of_its_grant_within_limits(
    delivery: Delivery, team: Team, file: str, minutes_left: int | None, expected: str
) -> None:
    at(delivery, NOW_MINUTES)
    files = {
        "hash": f"thumb@{THUMB.short_hash()}.webp", "other hash": "thumb@0000.webp", "no hash": "thumb.webp",
        "transforms": "t-w64.webp", "focal point": "t-w64-h48-cover-fo.webp", "original": "original.file",
    }  # fmt: skip
    row = await delivery.shown(team, SMALL)
    await delivery.parts.originals.put(row["object_name"], b"the original" * 100, "image/png")
    await delivery.change(row["id"], size_bytes=1200, generation=None or row["generation"])
    for recipe in (Recipe(width_px=64), Recipe(width_px=64, height_px=48, fit="cover")):
        await delivery.rendition(row, recipe, SMALL)
    address = team.address(row, files[file], expiry=0 if minutes_left is None else NOW_MINUTES + minutes_left)
    answer = await delivery.get(address, "HEAD")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, expected)
    not_changed = await delivery.get(address, if_none_match=answer.headers["etag"])
    assert (not_changed.status_code, not_changed.headers["cache-control"]) == (304, expected)


async def test_a_public_address_without_a_tag_is_kept_for_minutes(delivery: Delivery, team: Team) -> None:
    row = await delivery.shown(team, SMALL, visibility="public")
    file, tag = f"thumb@{THUMB.short_hash()}.webp", team.grant(row).rpartition(".")[2]
    for image, expected in ((f".{tag}", "max-age=86400, s-maxage=600"), ("", "max-age=300, s-maxage=300")):
        answer = await delivery.get(f"/i/public/{image_text(row['id'])}{image}/{file}")
        assert answer.headers["cache-control"] == f"public, {expected}"


async def test_the_longest_time_is_a_setting(make_delivery: MakeDelivery) -> None:
    async with make_delivery(delivery_cache_seconds=60) as delivery:
        team = await delivery.team()
        answer = await delivery.get(team.address(await delivery.shown(team, SMALL)))
    assert answer.headers["cache-control"] == "public, max-age=60, s-maxage=60"


# --- Conditions and ranges -------------------------------------------------------------------------------------------


async def test_an_unchanged_picture_is_not_sent_again(delivery: Delivery, small: str) -> None:
    tag = (await delivery.get(small)).headers["etag"]
    delivery.queries.clear()
    for condition in (tag, f'"x", W/{tag}', "*"):
        answer = await delivery.get(small, if_none_match=condition, range="bytes=0-1")
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert "content-length" not in answer.headers
    assert (await delivery.get(small, if_none_match='"other"')).content == SMALL


@pytest.mark.parametrize("which", ["small", "large"])
@pytest.mark.parametrize(("asked", "start", "end"), [("0-0", 0, 1), ("5-9", 5, 10), ("-3", -3, None), ("7-", 7, None)])
async def test_a_range_is_a_part(
    delivery: Delivery, small: str, large: str, which: str, asked: str, start: int, end: int | None
) -> None:
    address, whole = (small, SMALL) if which == "small" else (large, LARGE)
    answer = await delivery.get(address, range=f"bytes={asked}")
    assert (answer.status_code, answer.content) == (206, whole[start:end])
    first = start if start >= 0 else len(whole) + start
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(whole)}"
    assert int(answer.headers["content-length"]) == len(answer.content)
    tag = answer.headers["etag"]
    assert (await delivery.get(address, range=f"bytes={asked}", if_range=tag)).status_code == 206
    assert (await delivery.get(address, range=f"bytes={asked}", if_range='"old"')).status_code == 200
    assert (await delivery.get(address, "HEAD", range=f"bytes={asked}")).status_code == 200


async def test_a_range_beyond_the_end_says_how_long_the_picture_is(delivery: Delivery, small: str) -> None:
    answer = await delivery.get(small, range="bytes=100-")
    assert (answer.status_code, answer.json()["code"]) == (416, "range-not-satisfiable")
    assert (answer.headers["content-range"], answer.headers["cache-control"]) == ("bytes */100", "no-store")


async def test_a_long_answer_does_not_say_its_length(
    delivery: Delivery, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_delivery.derivatives.sending.MOST_COUNTED_BYTES", len(LARGE) - 1)
    for answer in (await delivery.get(large), await delivery.get(large, range=f"bytes=0-{len(LARGE)}")):
        assert "content-length" not in answer.headers
        assert answer.content == LARGE
    assert "content-length" not in (await delivery.get(large, "HEAD")).headers
    monkeypatch.setattr("image_delivery.derivatives.sending.MOST_COUNTED_BYTES", len(LARGE))
    assert int((await delivery.get(large)).headers["content-length"]) == len(LARGE)


# --- Formats ---------------------------------------------------------------------------------------------------------


async def accepting(delivery: Delivery, address: str, accept: str | None) -> Answer:
    return await delivery.get(address, **({} if accept is None else {"accept": accept}))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("image/avif,image/webp,*/*;q=0.8", "avif"),
        ("image/webp", "webp"),
        ("IMAGE/WebP ; q=0.5", "webp"),
        ("image/webp;q=0, image/*", "jpeg"),
        ("image/webp;q=0.000", "jpeg"),
        ("image/avif;q=0,image/webp", "webp"),
        ("*/*", "jpeg"),
        ("image/*", "jpeg"),
        ("", "jpeg"),
        (None, "jpeg"),
        ("image/webpx, text/image/webp", "jpeg"),
    ],
)
async def test_auto_is_what_the_browser_names(
    delivery: Delivery, team: Team, accept: str | None, expected: str
) -> None:
    row = await delivery.shown(team, b"webp" * 10, facts={"has_alpha": False})
    await delivery.rendition(row, THUMB, b"avif", "avif")
    await delivery.rendition(row, THUMB, b"jpeg", "jpeg")
    answer = await accepting(delivery, team.address(row, "thumb.auto"), accept)
    assert answer.content[:4].decode() == expected
    assert answer.headers["content-type"] == f"image/{expected}"
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-disposition"].endswith(f'-thumb.{expected}"')


@pytest.mark.parametrize(("frames", "size"), [(2, 4), (1, 41)])
async def test_auto_takes_no_avif_that_is_larger_or_of_a_moving_picture(
    delivery: Delivery, team: Team, frames: int, size: int
) -> None:
    row = await delivery.shown(team, b"webp" * 10, frames=frames)
    await delivery.rendition(row, THUMB, b"a" * size, "avif", frames=frames)
    answer = await accepting(delivery, team.address(row, "thumb.auto"), "image/avif,image/webp")
    assert answer.headers["content-type"] == "image/webp"


async def test_every_answer_under_auto_varies_by_accept(delivery: Delivery, team: Team) -> None:
    row = await delivery.shown(team, SMALL)
    address = team.address(row, "thumb.auto")
    picture = await accepting(delivery, address, "image/webp")
    answers = [
        await delivery.get(address, accept="image/webp", if_none_match=picture.headers["etag"]),
        await delivery.get(address, accept="image/webp", range="bytes=1000-"),
        await delivery.get(team.address(row, "thumb.auto", expiry=1)),
        await delivery.get("/i/public/x/y.auto"),
    ]
    assert [answer.status_code for answer in answers] == [304, 416, 410, 404]
    assert {answer.headers["vary"] for answer in answers} == {"Accept"}
    assert "vary" not in (await delivery.get(team.address(row))).headers


@pytest.mark.parametrize("extension", ["jpg", "gif", "file", "webp2"])
async def test_a_signed_format_that_is_not_there_says_which_are(delivery: Delivery, team: Team, extension: str) -> None:
    row = await delivery.shown(team)
    answer = await delivery.get(team.address(row, f"thumb.{extension}"))
    assert (answer.status_code, answer.json()["code"]) == (400, "delivery-spec-invalid")
    assert "webp" in answer.json()["detail"]


# --- The original ----------------------------------------------------------------------------------------------------


async def test_the_original_is_saved_under_its_own_name(delivery: Delivery, team: Team) -> None:
    row = await delivery.uploaded(team, LARGE, filename="Grüße.png", content_type="image/png")
    answer = await delivery.get(team.address(row, "original.file"))
    assert (answer.status_code, answer.content) == (200, LARGE)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith('attachment; filename="Gru')
    assert "%C3%BC" in answer.headers["content-disposition"]
    assert (await delivery.get(team.address(row, "original.webp"))).json()["canonical"] == "original.file"
    assert (await delivery.get(team.address(row, "original@0000.file"))).status_code == 404
    assert (await delivery.get(team.address(row, "original.file", "p"))).status_code == 404


# --- Where the bytes come from ---------------------------------------------------------------------------------------


async def test_a_warm_request_needs_neither_database_nor_storage(delivery: Delivery, small: str) -> None:
    await delivery.get(small)
    delivery.queries.clear()
    for headers in ({}, {"range": "bytes=0-4"}):
        assert SMALL.startswith((await delivery.get(small, **headers)).content)
    assert delivery.queries == []


async def test_the_first_requests_for_a_small_picture_read_it_once(delivery: Delivery, small: str) -> None:
    answers = await asyncio.gather(*(delivery.get(small) for _ in range(20)))
    assert [answer.content for answer in answers] == [SMALL] * 20
    assert object_reads(delivery) == 1


async def test_a_large_picture_is_not_kept(delivery: Delivery, team: Team) -> None:
    body = os.urandom(MOST_PICTURE_BYTES + 1)
    address = team.address(await delivery.shown(team, body))
    for _ in range(2):
        assert (await delivery.get(address)).content == body
    assert (object_reads(delivery), delivery.serving.memory.size_bytes) == (2, 0)


async def test_storage_that_is_away_is_503_and_never_404(
    delivery: Delivery, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> bytes:
        raise errors.StorageUnavailable("It is away.") from OSError()

    monkeypatch.setattr(delivery.parts.derivatives, "read", fail)
    answer = await delivery.get(small)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
    assert (answer.headers["cache-control"], answer.headers["retry-after"]) == ("no-store", "2")


async def test_bytes_that_are_missing_are_503(delivery: Delivery, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> bytes:
        raise ObjectMissing

    monkeypatch.setattr(delivery.parts.derivatives, "read", fail)
    assert (await delivery.get(small)).status_code == 503


async def test_an_answer_that_storage_breaks_off_is_not_whole(
    delivery: Delivery, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = delivery.parts.derivatives.read

    async def fail_later(name: str, generation: int | None, start: int, end: int) -> bytes:
        if start:
            raise errors.StorageUnavailable
        return await read(name, generation, start, end)

    monkeypatch.setattr(delivery.parts.derivatives, "read", fail_later)
    answer = await delivery.get(large)
    assert (answer.status_code, answer.is_whole) == (200, False)
    assert answer.content == LARGE[:READ_CHUNK_BYTES]


async def test_a_caller_that_leaves_ends_the_reading(delivery: Delivery, large: str) -> None:
    delivery.caller_left = True
    answer = await delivery.get(large)
    assert object_reads(delivery) < 3
    assert not answer.is_whole


async def test_what_nobody_expected_is_told_in_the_log_alone(
    delivery: Delivery, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> bytes:
        raise RuntimeError("with a secret in it")

    monkeypatch.setattr(delivery.parts.derivatives, "read", fail)
    answer = await delivery.get(small)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert answer.headers["cache-control"] == "no-store"
    assert b"secret" not in answer.content


async def test_answers_are_counted(make_delivery: MakeDelivery) -> None:
    async with make_delivery(metrics_enabled=True) as delivery:
        team = await delivery.team()
        address = team.address(await delivery.shown(team, SMALL))
        for path in (address, address, "/i/nothing"):
            await delivery.get(path)
        text = (await delivery.client.get("/metrics")).text
    assert 'delivery_answers_total{derivative="hit",status="200"} 2.0' in text
    assert 'delivery_answers_total{derivative="",status="404"} 1.0' in text
    assert "delivery_bytes_total 200.0" in text
