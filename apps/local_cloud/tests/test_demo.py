"""The demo team: what its pictures are, and what is left when a step fails."""

import io
import json
import subprocess
import sys
from functools import partial
from typing import Any

import httpx2
import pytest
from PIL import ExifTags, Image

from local_cloud.demo import team
from local_cloud.demo.animations import FRAMES
from local_cloud.demo.catalogue import FIELDS, Picture, pictures


def named(title: str) -> Picture:
    return next(each for each in pictures() if each.filename == title)


def test_pictures_differ_in_kind_format_and_shape() -> None:
    planned = pictures()
    assert 60 <= len(planned) <= 64
    assert len({each.filename for each in planned}) == len(planned)
    assert {each.content_type for each in planned} == {"image/jpeg", "image/png", "image/webp", "image/gif"}
    assert {each.metadata["kind"] for each in planned} == set(FIELDS[0]["enum"])  # type: ignore[call-overload]
    ratios = [width / height for width, height in (each.size_px for each in planned)]
    assert min(ratios) < 0.7 < 1 < 2.5 < max(ratios)
    assert 1.0 in ratios
    assert all(640 <= side <= 2400 for each in planned for side in each.size_px)
    assert all(each.alt_text and each.description and each.tags for each in planned)


def test_every_picture_is_a_submission_with_age_gender_place_and_country() -> None:
    assert {"age", "gender", "place", "country"} <= {field["name"] for field in FIELDS}
    assert all({"age", "gender", "place", "country"} <= each.metadata.keys() for each in pictures())


def test_few_pictures_are_a_mixture() -> None:
    assert len({each.metadata["kind"] for each in pictures(4)}) >= 3


def test_a_photograph_has_time_place_and_camera_and_is_the_same_each_time() -> None:
    picture = named("High desert.jpg")
    content = picture.make()
    assert content == picture.make()
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.size == picture.size_px
        exif = opened.getexif()
    inner, gps = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert inner[ExifTags.Base.DateTimeOriginal].startswith("2023:09:12 09:14:")
    assert inner[ExifTags.Base.OffsetTimeOriginal] == "+05:30"
    assert (gps[ExifTags.GPS.GPSLatitudeRef], int(gps[ExifTags.GPS.GPSLatitude][0])) == ("N", 34)
    assert exif[ExifTags.Base.Model]


def test_animations_move() -> None:
    with Image.open(io.BytesIO(named("Bouncing balls.gif").make())) as opened:
        assert opened.n_frames == FRAMES  # type: ignore[attr-defined]


def test_up_loads_no_drawing_library_without_a_demo() -> None:
    script = "import sys, local_cloud.commands; print([name for name in ('numpy', 'PIL') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class StandIn:
    """An API that answers every creation, but for the paths and bodies that fail."""

    def __init__(self, *failing: str, teams: tuple[str, ...] = ()) -> None:
        self.failing, self.teams = failing, [{"name": name} for name in teams]
        self.requests: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        sent = f"{request.method} {request.url.path} {request.content[:800].decode(errors='replace')}"
        self.requests.append(sent)
        if any(part in sent for part in self.failing):
            return httpx2.Response(503)
        body: dict[str, Any] = {"id": f"id-{len(self.requests)}", "api_key": "im_key", "next_cursor": None}
        return httpx2.Response(200, content=json.dumps({**body, "items": self.teams}))


def make(monkeypatch: pytest.MonkeyPatch, api: StandIn, **options: Any) -> team.Demo | None:
    monkeypatch.setattr(team.httpx2, "Client", partial(httpx2.Client, transport=httpx2.MockTransport(api)))
    monkeypatch.setattr(Picture, "make", lambda _picture: b"bytes")
    return team.make_demo("http://api", "im_admin", say=lambda _line: None, **options)


def test_what_fails_is_named_and_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    api = StandIn("Portrait of Ingrid.jpg", "/saved-searches")
    made = make(monkeypatch, api, most=4)
    assert made is not None
    assert made.missing == ["'Portrait of Ingrid.jpg'", "the saved search"]
    assert len(made.image_ids) == 3
    assert list(made.image_ids)[-1] == pictures()[0].filename


def test_an_api_that_is_away_is_not_asked_for_every_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    api = StandIn("POST /api/v1/images ")
    made = make(monkeypatch, api)
    assert made is not None
    assert len([sent for sent in api.requests if sent.startswith("POST /api/v1/images ")]) == team.MOST_FAILURES
    assert set(made.missing) >= {repr(each.filename) for each in pictures()}


def test_a_stop_ends_the_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    api = StandIn()
    made = make(monkeypatch, api, most=4, should_continue=lambda: False)
    assert made is not None
    assert (made.image_ids, len(made.missing)) == ({}, 4)


def test_a_team_that_exists_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    api = StandIn(teams=("Demo",))
    assert make(monkeypatch, api) is None
    assert len(api.requests) == 1
