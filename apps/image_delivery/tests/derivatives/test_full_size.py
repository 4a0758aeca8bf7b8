"""`full`: the whole picture as a download, without what its file says of camera, place and people."""

import io
from typing import Any

import pytest
from PIL import Image

from ..conftest import Delivery, Team


@pytest.fixture
async def team(delivery: Delivery) -> Team:
    return await delivery.team()


def a_picture(picture_format: str, **options: Any) -> bytes:
    """A picture that says who made it and how it is turned."""
    made, exif = io.BytesIO(), Image.Exif()
    exif[0x013B], exif[0x0112] = "somebody with a name", 6
    Image.effect_noise((64, 48), 90).convert("RGB").save(made, picture_format, exif=exif, **options)
    return made.getvalue()


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP"])
async def test_pixels_are_copied_and_metadata_are_not(delivery: Delivery, team: Team, picture_format: str) -> None:
    original = a_picture(picture_format)
    content_type = f"image/{picture_format.lower()}"
    row = await delivery.uploaded(team, original, content_type=content_type, filename="secret name.jpg")
    answers = [await delivery.get(team.address(row, "full.file")) for _ in range(2)]
    assert [each.headers["x-derivative"] for each in answers] == ["made", "hit"]
    assert delivery.pool.requests == []
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
        assert answer.headers["content-disposition"] == (
            f'attachment; filename="{row["id"]}-full.{picture_format.lower()}"'
        )
        assert b"somebody" not in answer.content
        with Image.open(io.BytesIO(answer.content)) as found, Image.open(io.BytesIO(original)) as expected:
            assert found.tobytes() == expected.tobytes()
            # A picture that was lying on its side still is shown upright.
            assert found.getexif()[0x0112] == 6
    (rendition,) = await delivery.renditions(row["id"])
    assert (rendition["preset"], rendition["format"]) == ("full", picture_format.lower())


@pytest.mark.parametrize(("file", "scope", "status"), [("full.file", "p", 404), ("full.jpeg", "e", 400)])
async def test_nothing_but_its_own_address_opens_it(
    delivery: Delivery, team: Team, file: str, scope: str, status: int
) -> None:
    row = await delivery.uploaded(team, visibility="public")
    assert (await delivery.get(team.address(row, file, scope))).status_code == status
