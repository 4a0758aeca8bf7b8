"""The whole life of an image, over HTTP only."""

import hashlib
import io
import json
from pathlib import Path

import pytest
import pyvips
from PIL import Image

from .conftest import RunningSystem, Team

PHOTO = Path(__file__).resolve().parents[2] / "docs" / "photo.jpg"
PRESETS = ["large", "preview", "thumb"]


def _encoded(kind: str) -> bytes:
    """A small picture of a kind that people really have."""
    plain = Image.radial_gradient("L").resize((640, 480))
    colour = Image.merge(
        "RGB", (plain, plain.rotate(90).resize(plain.size), plain.transpose(Image.Transpose.ROTATE_180))
    )
    file = io.BytesIO()
    if kind == "heic":
        import pillow_heif

        pillow_heif.from_pillow(colour).save(file, quality=60)
    elif kind == "cmyk":
        colour.convert("CMYK").save(file, "JPEG")
    elif kind == "animated gif":
        frames = [colour.rotate(angle).quantize(32) for angle in (0, 30, 60)]
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0)
    else:
        colour.save(file, kind)
    return file.getvalue()


def test_an_image_lives_from_upload_to_trash_and_back(team: Team) -> None:
    original = PHOTO.read_bytes()
    uploaded = team.client.post(
        "/images",
        params={"wait": 25},
        files={"file": ("photo.jpg", original)},
        data={"tags": "a,b", "metadata": '{"n": 1}'},
    )
    assert uploaded.status_code == 201
    image = uploaded.json()
    assert (image["status"], image["sha256"]) == ("ready", hashlib.sha256(original).hexdigest())
    assert (image["width"], image["height"], image["tags"], image["metadata"]) == (1280, 854, ["a", "b"], {"n": 1})
    assert sorted(each["preset"] for each in image["derivatives"]) == PRESETS
    assert image["facts"]["blurhash"]
    path = f"/images/{image['id']}"

    assert team.client.get(f"{path}/content").content == original
    part = team.client.get(f"{path}/content", headers={"Range": "bytes=-100"})
    assert (part.status_code, part.content) == (206, original[-100:])
    for derivative in image["derivatives"]:
        body = team.client.get(derivative["url"]).content
        assert len(body) == derivative["size_bytes"]
        decoded = pyvips.Image.new_from_buffer(body, "")
        assert (decoded.width, decoded.height) == (derivative["width"], derivative["height"])

    again = team.client.post("/images", content=original, headers={"Content-Type": "image/jpeg"})
    assert (again.status_code, again.json()["id"], again.json()["duplicate"]) == (200, image["id"], True)

    changed = team.client.patch(path, json={"filename": "fjord.jpg", "metadata": {"n": None, "m": "x"}}).json()
    assert (changed["filename"], changed["metadata"]) == ("fjord.jpg", {"m": "x"})

    assert team.client.delete(path).status_code == 204
    assert team.client.get(f"{path}/content").status_code == 404
    assert [each["id"] for each in team.client.get("/images", params={"status": "trashed"}).json()["items"]] == [
        image["id"]
    ]
    assert team.client.post(f"{path}/restore").json()["deleted_at"] is None
    assert team.client.get(f"{path}/content").content == original


@pytest.mark.parametrize(("kind", "frames"), [("heic", 1), ("cmyk", 1), ("animated gif", 3), ("png", 1), ("tiff", 1)])
def test_every_kind_that_people_have_becomes_ready(team: Team, kind: str, frames: int) -> None:
    answer = team.client.post(
        "/images", params={"wait": 25}, content=_encoded(kind), headers={"Content-Type": "image/x"}
    )
    image = answer.json()
    assert (image["status"], image["failure"], image["frames"]) == ("ready", None, frames)
    assert sorted(each["preset"] for each in image["derivatives"]) == PRESETS


def test_a_truncated_picture_fails_with_a_sentence_and_harms_nobody(team: Team) -> None:
    original = PHOTO.read_bytes()
    headers = {"Content-Type": "image/jpeg"}
    broken = team.client.post(
        "/images", params={"wait": 25}, content=original[: len(original) // 2], headers=headers
    ).json()
    assert (broken["status"], broken["failure"]["code"]) == ("failed", "image-truncated")
    assert broken["failure"]["message"].endswith(".")
    whole = team.client.post("/images", params={"wait": 25}, content=original, headers=headers).json()
    assert whole["status"] == "ready"


def test_a_key_is_rotated_without_an_interruption(system: RunningSystem, team: Team) -> None:
    path = f"/user/{team.user_id}/credentials/rotate"
    rotated = team.client.post(path, json={"grace_period_seconds": 600}).json()
    with system.client(rotated["api_key"]) as new:
        assert new.get("/whoami").json()["user_id"] == team.user_id
        assert team.client.get("/whoami").status_code == 200
        assert new.post(path, json={"grace_period_seconds": 0}).status_code == 200
        refused = new.get("/whoami")
    assert (refused.status_code, refused.json()["code"]) == (401, "api-key-invalid")


def test_errors_are_problems_and_their_type_leads_to_a_page(system: RunningSystem, team: Team) -> None:
    refused = team.client.post("/images", content=b"plain text", headers={"Content-Type": "image/png"})
    assert refused.headers["content-type"] == "application/problem+json"
    page = team.client.get(system.url + json.loads(refused.content)["type"])
    assert page.status_code == 200
    assert refused.json()["code"] in page.text
