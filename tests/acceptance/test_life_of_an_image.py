"""What a team does, from its first key to the end of it, against a running system."""

import asyncio
import hashlib
import io
import json
import os
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from PIL import Image

from image_engine.testing import pictures

from .conftest import Client, RunningSystem

LONGEST_SIDES = {"thumb": 256, "preview": 1024, "large": 2048}


def photo() -> bytes:
    """A JPEG as a camera writes it, stored on its side, of a size that every preset reduces."""
    scene = pictures.scene(2400, 1600)
    exif = pictures.exif_block(6, place=(59.9, 10.7))
    # A few bytes after the end make it another file each time, and the same picture.
    return pictures.jpeg(pictures.turned_for(scene, 6), exif=exif) + os.urandom(8)


def picture(side_px: int = 32) -> bytes:
    target = io.BytesIO()
    Image.frombytes("RGB", (side_px, side_px), os.urandom(3 * side_px**2)).save(target, "JPEG")
    return target.getvalue()


async def test_a_photo_goes_from_upload_to_finished_derivatives(member: Client) -> None:
    content = photo()
    image = await member.upload(content, "oslo.jpg", tags="fjord,summer", metadata='{"trip": "north", "day": 3}')
    assert image["status"] == "ready", image["failure"]
    assert (image["filename"], image["tags"], image["metadata"]) == (
        "oslo.jpg", ["fjord", "summer"], {"trip": "north", "day": 3},
    )  # fmt: skip
    assert (image["sha256"], image["size_bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (image["format"], image["width"], image["height"], image["frames"]) == ("jpeg", 2400, 1600, 1)
    facts = image["facts"]
    assert {"blurhash", "perceptual_hash", "exif", "location"} <= facts.keys()
    assert round(facts["location"]["latitude"], 1) == 59.9
    assert {made["preset"] for made in image["derivatives"]} == LONGEST_SIDES.keys()
    for made in image["derivatives"]:
        answer = await member.http.get(f"/images/{image['id']}/derivatives/{made['preset']}")
        with Image.open(io.BytesIO(answer.content)) as shown:
            assert (shown.format, *shown.size) == ("WEBP", made["width"], made["height"])
            assert not shown.getexif()
        assert max(made["width"], made["height"]) == LONGEST_SIDES[made["preset"]]
        assert answer.headers["content-type"] == made["content_type"] == "image/webp"


async def test_content_comes_back_whole_in_parts_and_not_at_all_where_it_is_known(member: Client) -> None:
    content = picture(300)
    path = f"/images/{(await member.upload(content))['id']}/content"
    whole = await member.http.get(path)
    assert whole.content == content
    for header, part in {"bytes=0-99": content[:100], "bytes=-7": content[-7:], "bytes=1000-": content[1000:]}.items():
        answer = await member.http.get(path, headers={"Range": header})
        assert (answer.status_code, answer.content) == (206, part)
    beyond = await member.http.get(path, headers={"Range": f"bytes={len(content)}-"})
    assert beyond.status_code == 416
    known = await member.http.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


async def test_bytes_sent_as_they_are_become_an_image_too(member: Client) -> None:
    answer = await member.http.post(
        "/images", params={"wait": 25, "filename": "raw.png"}, content=picture(), headers={"Content-Type": "image/png"}
    )
    assert answer.status_code == 201
    # What it is, is decided by its bytes and not by what the request said.
    assert (answer.json()["content_type"], answer.json()["filename"]) == ("image/jpeg", "raw.png")


async def test_the_same_bytes_again_are_the_same_image_in_its_team_only(member: Client, stranger: Client) -> None:
    content = picture()
    first = await member.upload(content, "first.jpg")
    again = await member.upload(content, "again.jpg")
    assert (again["id"], again["duplicate"], again["filename"]) == (first["id"], True, "first.jpg")
    other = await stranger.upload(content)
    assert (other["id"] != first["id"], other["duplicate"]) == (True, False)


async def test_another_team_is_told_what_it_is_told_of_nothing(member: Client, stranger: Client) -> None:
    image = await member.upload(picture())
    absent = await stranger.ask("GET", f"/images/{uuid4()}", 404)
    for path in ("", "/content", "/derivatives", "/derivatives/thumb"):
        foreign = await stranger.ask("GET", f"/images/{image['id']}{path}", 404)
        assert {**foreign, "request_id": ""} == {**absent, "request_id": ""}
    assert (await stranger.ask("GET", "/images", 200))["items"] == []


async def test_a_changed_name_and_tags_stay_and_an_outdated_change_is_refused(member: Client) -> None:
    image = await member.upload(picture())
    path = f"/images/{image['id']}"
    before = (await member.http.get(path)).headers["etag"]
    changed = await member.ask(
        "PATCH", path, 200, json={"filename": "new.jpg", "tags": ["a"]}, headers={"If-Match": before}
    )
    assert (changed["filename"], changed["tags"]) == ("new.jpg", ["a"])
    await member.ask("PATCH", path, 412, json={"filename": "late.jpg"}, headers={"If-Match": before})
    assert (await member.ask("GET", path, 200))["filename"] == "new.jpg"


async def test_what_is_in_the_trash_is_gone_until_it_is_restored(member: Client) -> None:
    image = await member.upload(picture())
    path = f"/images/{image['id']}"
    await member.ask("DELETE", path, 204)
    await member.ask("GET", f"{path}/content", 404)
    await member.ask("GET", f"{path}/derivatives/thumb", 404)
    assert (await member.ask("GET", "/images", 200))["items"] == []
    (trashed,) = (await member.ask("GET", "/images?status=trashed", 200))["items"]
    assert trashed["id"] == image["id"]
    await member.ask("POST", f"{path}/restore", 200)
    assert hashlib.sha256((await member.http.get(f"{path}/content")).content).hexdigest() == image["sha256"]


async def test_a_rotated_key_works_through_its_grace_and_not_beyond(system: RunningSystem, member: Client) -> None:
    who = await member.ask("GET", "/whoami", 200)
    rotate = f"/user/{who['user_id']}/credentials/rotate"
    new = await member.ask("POST", rotate, 200, json={"grace_period_seconds": 3600})
    fresh = Client(system.url, new["api_key"])
    assert (await fresh.ask("GET", "/whoami", 200))["team_id"] == who["team_id"] == member.team_id
    await member.ask("GET", "/whoami", 200)
    last = await fresh.ask("POST", rotate, 200, json={"grace_period_seconds": 0})
    newest = Client(system.url, last["api_key"])
    await newest.ask("GET", "/whoami", 200)
    for old in (member, fresh):
        async with asyncio.timeout(10):
            while (await old.http.get("/whoami")).status_code != 401:
                await asyncio.sleep(0.2)
    for client in (fresh, newest):
        await client.http.aclose()


def cmyk() -> bytes:
    target = io.BytesIO()
    Image.frombytes("CMYK", (60, 40), os.urandom(9600)).save(target, "JPEG")
    return target.getvalue()


def phone() -> bytes:
    return pictures.heic(pictures.scene(320, 240), turned_by=pictures.exif_block(6))


def animated() -> bytes:
    return pictures.animation("GIF", frames=4)


def opaque(picture_format: str) -> bytes:
    target = io.BytesIO()
    Image.frombytes("RGB", (60, 40), os.urandom(7200)).save(target, picture_format)
    return target.getvalue()


KINDS: dict[str, tuple[Any, str, int]] = {
    "cmyk": (cmyk, "jpeg", 1),
    "heic": (phone, "heic", 1),
    "animation": (animated, "gif", 4),
    "png": (lambda: opaque("png"), "png", 1),
    "tiff": (lambda: opaque("tiff"), "tiff", 1),
    "webp": (lambda: opaque("webp"), "webp", 1),
}


@pytest.mark.parametrize(("made", "picture_format", "frames"), KINDS.values(), ids=KINDS.keys())
async def test_pictures_of_every_kind_become_derivatives(
    member: Client, made: Any, picture_format: str, frames: int
) -> None:
    image = await member.upload(made())
    assert image["status"] == "ready", image["failure"]
    assert (image["format"], image["frames"]) == (picture_format, frames)
    thumb = await member.http.get(f"/images/{image['id']}/derivatives/thumb")
    with Image.open(io.BytesIO(thumb.content)) as shown:
        assert shown.mode in {"RGB", "RGBA"}
        assert getattr(shown, "n_frames", 1) == frames


BROKEN: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 422, "upload-empty"),
    "text": (b"Dear reader, this is no picture. " * 40, 415, "not-an-image"),
}


@pytest.mark.parametrize(("content", "status", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_no_picture_is_refused_by_a_code_that_has_a_page(
    system: RunningSystem, member: Client, content: bytes, status: int, code: str
) -> None:
    answer = await member.http.post("/images", content=content, headers={"Content-Type": "image/jpeg"})
    assert (answer.json()["code"], answer.headers["content-type"]) == (code, "application/problem+json")
    assert answer.status_code == status
    page = await member.http.get(system.url + answer.json()["type"])
    assert (page.status_code, code in page.text) == (200, True)


async def test_half_a_picture_fails_and_says_why(member: Client) -> None:
    whole = picture(600)
    image = await member.upload(whole[: len(whole) // 2])
    assert image["status"] == "failed"
    assert image["failure"]["code"]
    assert image["failure"]["message"]


async def test_an_object_that_nobody_announced_becomes_no_image(system: RunningSystem, member: Client) -> None:
    if system.data_dir is None:
        pytest.skip("only a local object store takes writes from anybody")
    image_id = uuid4()
    storage_url = json.loads((system.data_dir / "system.json").read_text())["storage_emulator_host"]
    url = f"{storage_url}/upload/storage/v1/b/image-manager-local-originals/o"
    name = f"originals/{member.team_id}/{image_id}"
    async with httpx2.AsyncClient(trust_env=False) as client:
        written = await client.post(url, params={"uploadType": "media", "name": name}, content=picture())
    assert written.status_code == 200
    # Its event came before this image's, which is processed by now.
    assert (await member.upload(picture()))["status"] == "ready"
    await member.ask("GET", f"/images/{image_id}", 404)
    assert len((await member.ask("GET", "/images", 200))["items"]) == 1
