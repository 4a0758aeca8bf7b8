"""What the page of an image says of its file, and what it offers to download and to copy."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from image_api.console.pages.image.facts import facts_of, zone_of
from image_core import testing
from image_core.db import Record
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import tags_of
from .test_images import IMAGES, signed_in
from .test_one_image import READY

EXIF = {
    "camera_make": "Maker", "camera_model": "Maker One", "lens_make": "Glass", "lens": "35 mm", "exposure_time": 0.004,
    "f_number": 2.8, "iso": 400, "exposure_bias": -0.33, "focal_length": 35.0, "focal_length_35mm": 52,
    "flash_fired": False,
}  # fmt: skip
LOCATION = {"latitude": -33.5, "longitude": 18.25, "altitude": -2.0}


def row_with(facts: dict[str, Any]) -> Record:
    row: Any = {"facts": orjson.dumps(facts)}
    return row  # type: ignore[no-any-return]


def test_facts_of_the_camera_are_words() -> None:
    assert facts_of(row_with({"exif": EXIF})).camera == [
        ("Camera", "Maker One"),
        ("Lens", "Glass 35 mm"),
        ("Exposure", "1/250 s, f/2.8, ISO 400, -0.33 EV"),
        ("Focal length", "35 mm, as 52 mm on 35 mm film"),
        ("Flash", "did not fire"),
    ]
    assert facts_of(row_with({"exif": {"exposure_time": 2.5}})).camera == [("Exposure", "2.5 s")]


def test_facts_of_the_file_are_words() -> None:
    facts = {
        "format": "gif", "color_space": "rgb", "icc_profile": "Display P3", "bit_depth": 8, "has_alpha": True,
        "orientation": 6, "duration_ms": 1500, "loop_count": 0, "perceptual_hash": "f" * 16, "width_px": 4, "frames": 2,
    }  # fmt: skip
    assert facts_of(row_with(facts)).file == [
        ("Format", "GIF"),
        ("Color space", "RGB, Display P3"),
        ("Bit depth", "8 bits a sample"),
        ("Transparency", "has an alpha channel"),
        ("Orientation", "turned by the camera; shown upright"),
        ("Animation", "1.5 s, without end"),
    ]
    assert facts_of(row_with({})).file == []


@pytest.mark.parametrize(
    ("source", "hours", "words"),
    [
        ("exif", 2, "UTC+02:00"),
        ("exif", -9.5, "UTC-09:30"),
        ("gps", 1, "UTC+01:00, from the satellites' time"),
        ("camera-clock", 0, "by the camera's clock; its time zone is unknown"),
    ],
)
def test_the_time_of_a_photograph_says_its_zone(source: str, hours: float, words: str) -> None:
    taken_at = datetime(2026, 1, 1, 8, 30, tzinfo=UTC)
    row: Any = {
        "taken_at": taken_at, "taken_at_source": source,
        "taken_local": taken_at.replace(tzinfo=None) + timedelta(hours=hours),
    }  # fmt: skip
    assert zone_of(row) == words


async def test_the_page_shows_the_place_and_leads_to_images_from_around_it(api: Api, member: UserWithKey) -> None:
    image_id = str((await api.upload(member))["id"])
    await api.set_row(UUID(image_id), **READY, facts=orjson.dumps({"location": LOCATION}).decode())
    browser = await signed_in(api, member)
    page = (await browser.get(f"{IMAGES}/{image_id}")).text
    assert "33.50000° S, 18.25000° E, 2 m below sea level" in page
    links = {each["href"]: each for tag, each in tags_of(page) if tag == "a"}
    (to_map,) = [each for url, each in links.items() if url.startswith("https://www.openstreetmap.org/")]
    # The map's site learns the place by a click, but not from where.
    assert "noreferrer" in to_map["rel"]
    assert "openstreetmap" not in "".join(str(each) for tag, each in tags_of(page) if tag != "a")
    (around,) = [url for url in links if url.startswith(f"{IMAGES}?near=")]
    assert (await browser.get(around)).status_code == 200


async def test_files_are_links_and_the_one_without_metadata_is_for_who_may_sign_its_address(
    api: Api, member: UserWithKey
) -> None:
    image_id = str((await api.upload(member))["id"])
    await api.set_row(UUID(image_id), **READY)
    reader = await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["images:read"])
    signer = await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["images:read", "delivery:manage"])
    found = []
    for key in (reader, signer):
        page = (await (await signed_in(api, key)).get(f"{IMAGES}/{image_id}")).text
        found.append([each["href"] for tag, each in tags_of(page) if tag == "a" and "download" in each])
    original = f"/api/v1/images/{image_id}/content"
    assert found[0] == [original]
    assert found[1][0] == original
    assert re.fullmatch(r"https://pictures\.test/i/k\d+-[0-9a-z]+-e-.+/full\.file", found[1][1])
    await api.set_row(UUID(image_id), deleted_at=READY["ready_at"])
    assert "download" not in (await (await signed_in(api, signer)).get(f"{IMAGES}/{image_id}")).text


async def test_a_page_element_names_each_format_that_presets_have(api: Api, member: UserWithKey) -> None:
    image_id = str((await api.upload(member))["id"])
    await api.set_row(
        UUID(image_id), **(READY | {"width": 4000, "height": 3000}), alt_text='A "fjord" <b>', alt_text_language="en"
    )
    page = (await (await signed_in(api, member)).get(f"{IMAGES}/{image_id}")).text
    texts = [html.unescape(each) for each in re.findall(r"<pre class=\"commands\" data-copy>([^<]*)</pre>", page)]
    (element,) = [each for each in texts if each.startswith("<picture>")]
    _, (_, source), (_, shown) = tags_of(element)
    assert source["type"] == "image/webp"
    assert [part.partition(" ")[2] for part in source["srcset"].split(", ")] == ["256w", "1024w", "2048w"]
    assert source["srcset"].count(".webp ") == 3
    assert shown["alt"] == 'A "fjord" <b>'
    assert (shown["width"], shown["height"]) == ("1024", "768")
    assert shown["src"].endswith(".auto")
    # The address that is shown here ends within two hours, those to copy in a week.
    assert shown["src"] not in re.sub(r"<pre[^>]*>[^<]*</pre>", "", page)
    assert any(f"http://api/api/v1/images/{image_id}" in each and "fetch(" in each for each in texts)
