import io
import time
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageSequence

from image_engine.contract.answers import ProcessedPicture
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import ProcessingRequest
from image_engine.picture.color_coding import ColorCoding
from image_engine.testing.renditions import middles, rendered
from image_engine.worker.pipeline import process_picture

COLORS = [(200, 60, 50), (60, 170, 70), (50, 70, 190)]


def process(content: bytes, limits: PictureLimits | None = None) -> ProcessedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        request = ProcessingRequest(limits=limits or PictureLimits())
        return process_picture(picture.fileno(), request, time.monotonic() + 60)


def animation(picture_format: str, size: tuple[int, int] = (120, 80), **options: Any) -> bytes:
    frames = [Image.new("RGB", size, color) for color in COLORS]
    target = io.BytesIO()
    frames[0].save(target, picture_format, save_all=True, append_images=frames[1:], duration=80, loop=0, **options)
    return target.getvalue()


def frames_of(picture: ProcessedPicture, preset: str) -> pyvips.Image:
    content = next(item.content for item in picture.derivatives if item.preset == preset)
    return pyvips.Image.webpload_buffer(content, n=-1)


def assert_moves(picture: ProcessedPicture, colors: list[tuple[int, ...]], tolerance: int = 6) -> None:
    for preset in ("thumb", "preview"):
        moving = frames_of(picture, preset)
        height = moving.get("page-height")
        assert moving.height == height * len(colors)
        shown = [moving(10, height * index + 10)[:3] for index in range(len(colors))]
        assert np.abs(np.array(shown) - np.array(colors)).max() <= tolerance, shown
        assert moving.get("delay") == [80] * len(colors)
    assert frames_of(picture, "large").get_typeof("n-pages") == 0


@pytest.mark.parametrize("picture_format", ["PNG", "AVIF"])
def test_png_and_avif_move_in_what_delivery_makes_and_stand_still_in_jpeg(picture_format: str) -> None:
    content = animation(picture_format)
    moving = rendered(content, "webp")
    shown = [frame.convert("RGB").getpixel((10, 10)) for frame in ImageSequence.Iterator(moving)]
    assert np.abs(np.array(shown) - np.array(COLORS)).max() <= 6, shown
    assert np.abs(np.array(middles(rendered(content, "jpeg")))[:, :3] - np.array(COLORS[0])).max() <= 6


@pytest.mark.parametrize("picture_format", ["PNG", "AVIF"])
def test_png_and_avif_move_in_thumb_and_preview(picture_format: str) -> None:
    picture = process(animation(picture_format))
    facts = picture.facts
    assert (facts.frames, facts.duration_ms, facts.loop_count) == (3, 240, 0)
    assert {item.preset: item.frames for item in picture.derivatives} == {"thumb": 3, "preview": 3, "large": 1}
    assert_moves(picture, COLORS)


@pytest.mark.parametrize("picture_format", ["PNG", "AVIF"])
def test_large_frames_are_shrunk_and_later_ones_left_out(picture_format: str) -> None:
    picture = process(animation(picture_format, (1400, 700)), PictureLimits(max_frames=2))
    assert picture.facts.frames == 3
    sizes = {item.preset: (item.width_px, item.height_px, item.frames) for item in picture.derivatives}
    assert sizes == {"thumb": (256, 128, 2), "preview": (1024, 512, 2), "large": (1400, 700, 1)}
    assert_moves(picture, COLORS[:2])


@pytest.mark.parametrize("picture_format", ["PNG", "AVIF"])
def test_frames_go_through_their_profile(picture_format: str) -> None:
    profile = ColorCoding(1, 8).profile(gray=False)
    picture = process(animation(picture_format, icc_profile=profile))
    light = np.array(COLORS) / 255
    expected = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert_moves(picture, [tuple(color) for color in expected])


def test_a_default_image_is_no_frame() -> None:
    frames = [Image.new("RGB", (120, 80), color) for color in COLORS]
    target = io.BytesIO()
    frames[0].save(target, "PNG", save_all=True, append_images=frames[1:], duration=80, default_image=True)
    picture = process(target.getvalue())
    assert picture.facts.frames == 2
    assert_moves(picture, COLORS[1:])
    assert frames_of(picture, "large")(10, 10)[:3] == pytest.approx(COLORS[0], abs=4)


def test_a_frame_may_be_transparent_and_cover_a_part() -> None:
    first = Image.new("RGBA", (120, 80), (200, 60, 50, 255))
    second = first.copy()
    second.paste((0, 0, 0, 0), (30, 20, 60, 40))
    target = io.BytesIO()
    first.save(target, "PNG", save_all=True, append_images=[second], duration=80)
    moving = frames_of(process(target.getvalue()), "preview")
    assert moving(40, 110)[3] < 8
    assert moving(10, 110)[3] > 247


def test_a_png_that_lacks_frames_is_truncated() -> None:
    content = animation("PNG")
    last = content.rindex(b"fcTL") - 4
    for end in (last, last + 38, last + 50, len(content) - 20):
        with pytest.raises(PictureRejected) as raised:
            process(content[:end])
        assert raised.value.code == "image-truncated"
    assert process(content[:-12]).facts.frames == 3


@pytest.mark.parametrize("picture_format", ["PNG", "AVIF"])
def test_each_frame_has_its_own_delay(picture_format: str) -> None:
    frames = [Image.new("RGB", (120, 80), color) for color in COLORS]
    target = io.BytesIO()
    frames[0].save(target, picture_format, save_all=True, append_images=frames[1:], duration=[100, 40, 700])
    picture = process(target.getvalue())
    assert picture.facts.duration_ms == 840
    assert frames_of(picture, "thumb").get("delay") == [100, 40, 700]


def test_one_frame_does_not_move() -> None:
    image = Image.new("RGB", (120, 80), COLORS[0])
    target = io.BytesIO()
    image.save(target, "PNG", save_all=True, append_images=[], duration=80)
    facts = process(target.getvalue()).facts
    assert (facts.frames, facts.duration_ms, facts.loop_count) == (1, None, None)
