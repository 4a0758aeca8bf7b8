import io
import json
import time

import numpy as np
import pytest
import pyvips
from PIL import Image

from image_engine.contract.answers import ProcessedPicture
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.presets import bounded
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import ProcessingRequest
from image_engine.testing.pictures import (
    ORIENTATIONS,
    animation,
    difference,
    exif_block,
    heic,
    jpeg,
    palette_png,
    photograph,
    png_header,
    scene,
    turned_for,
    with_metadata,
)
from image_engine.testing.stills import SCENE, STILLS, display_p3, pil
from image_engine.worker.pipeline import process_picture

METADATA_FIELDS = ("exif-data", "xmp-data", "iptc-data", "icc-profile-data", "orientation", "jpeg-thumbnail-data")


def process(content: bytes, request: ProcessingRequest | None = None, seconds: float = 60) -> ProcessedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        return process_picture(picture.fileno(), request or ProcessingRequest(), time.monotonic() + seconds)


def rejection(content: bytes, request: ProcessingRequest | None = None) -> str:
    with pytest.raises(PictureRejected) as raised:
        process(content, request)
    assert raised.value.message.endswith(".")
    return raised.value.code


def decoded(picture: ProcessedPicture, preset: str = "preview") -> pyvips.Image:
    content = next(derivative.content for derivative in picture.derivatives if derivative.preset == preset)
    return pyvips.Image.webpload_buffer(content)


@pytest.mark.parametrize("kind", STILLS)
def test_every_kind_of_still_looks_like_what_was_stored(kind: str) -> None:
    picture = process(STILLS[kind]())
    expected = SCENE
    if "gray" in kind:
        expected = pyvips.Image.new_from_array(np.array(Image.fromarray(SCENE.numpy()).convert("L")))
    # Print has no pure red, and 256 colours no gradients.
    assert difference(decoded(picture), expected) < (8 if "cmyk" in kind else 6 if "gif" in kind else 3)
    facts = picture.facts
    assert (facts.width_px, facts.height_px, facts.frames) == (320, 240, 1)
    assert facts.bit_depth == (32 if "lab" in kind else 16 if "16-bit" in kind else 10 if "10-bit" in kind else 8)
    assert facts.color_space == next((space for space in ("cmyk", "gray", "lab") if space in kind), "rgb")
    assert facts.has_alpha == (kind in {"gray png with alpha", "tiff with many bands"})
    assert [derivative.preset for derivative in picture.derivatives] == ["thumb", "preview", "large"]
    json.dumps(facts.to_json(), allow_nan=False)


def test_wide_gamut_is_converted_and_named() -> None:
    picture = process(STILLS["display p3 jpeg"]())
    assert "P3" in (picture.facts.icc_profile or "")
    # Without a conversion the numbers would stay as they are in the file.
    assert difference(decoded(picture), display_p3()) > difference(decoded(picture), SCENE) + 2


def test_broken_profile_is_ignored() -> None:
    picture = process(jpeg(SCENE, icc=b"no profile at all" * 20))
    assert difference(decoded(picture), SCENE) < 3
    assert picture.facts.icc_profile is None


def test_palette_png_keeps_its_alpha() -> None:
    picture = process(palette_png(SCENE, transparent_part=0.5))
    assert picture.facts.has_alpha
    alpha = decoded(picture, "thumb").extract_band(3)
    assert alpha.crop(0, 0, alpha.width, alpha.height // 2 - 4).max() < 8
    assert alpha.crop(0, alpha.height // 2 + 4, alpha.width, alpha.height // 2 - 8).min() > 247


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_each_orientation_is_applied_once(orientation: int) -> None:
    picture = process(jpeg(turned_for(SCENE, orientation), exif=exif_block(orientation)))
    assert picture.facts.orientation == orientation
    assert (picture.facts.width_px, picture.facts.height_px) == (320, 240)
    assert all((item.width_px, item.height_px) != (item.height_px, item.width_px) for item in picture.derivatives)
    for preset in ("thumb", "preview", "large"):
        assert difference(decoded(picture, preset), SCENE) < 3


def test_orientation_of_heic_is_applied_once() -> None:
    block = exif_block(1)
    # The writer would turn the picture too, so the tag that a viewer must not follow is put in afterwards.
    misleading = heic(SCENE, exif=block).replace(block, exif_block(6))
    assert exif_block(6) in misleading
    assert b"irot" not in misleading
    upright = process(misleading)
    assert (upright.facts.width_px, upright.facts.height_px) == (320, 240)
    assert difference(decoded(upright), SCENE) < 3
    stored = heic(turned_for(SCENE, 6), turned_by=exif_block(6))
    assert b"irot" in stored
    turned = process(stored)
    assert (turned.facts.width_px, turned.facts.height_px) == (320, 240)
    assert difference(decoded(turned), SCENE) < 3


def test_derivatives_have_their_sizes_and_are_never_enlarged() -> None:
    picture = process(photograph(2400, 1800))
    sizes = {item.preset: (item.width_px, item.height_px) for item in picture.derivatives}
    assert sizes == {"thumb": (256, 192), "preview": (1024, 768), "large": (2048, 1536)}
    small = process(SCENE.jpegsave_buffer())
    assert [(item.width_px, item.height_px) for item in small.derivatives] == [(256, 192), (320, 240), (320, 240)]
    for item in (*picture.derivatives, *small.derivatives):
        read_back = pyvips.Image.webpload_buffer(item.content)
        assert (read_back.width, read_back.height) == (item.width_px, item.height_px)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_decoding_at_a_reduced_size_shows_the_same(factor: int) -> None:
    large = scene(256 * factor + 16, 192 * factor + 12)
    request = ProcessingRequest(presets=(bounded("thumb", 256, animated=True),))
    for content in (large.jpegsave_buffer(Q=90), large.webpsave_buffer(Q=90)):
        picture = process(content, request)
        assert picture.facts.width_px == 256 * factor + 16
        assert difference(decoded(picture, "thumb"), large) < 3


def test_all_metadata_is_gone_from_derivatives() -> None:
    dressed = with_metadata(display_p3(), xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", iptc=b"8BIM" + bytes(40))
    for content in (
        jpeg(SCENE, exif=exif_block(6, place=(48.1, 11.5)), icc=display_p3().get("icc-profile-data")),
        dressed.jpegsave_buffer(),
        dressed.pngsave_buffer(),
        dressed.webpsave_buffer(),
        animation("WEBP"),
    ):
        for derivative in process(content).derivatives:
            read_back = pyvips.Image.webpload_buffer(derivative.content)
            assert [name for name in METADATA_FIELDS if read_back.get_typeof(name) != 0] == []
            assert b"EXIF" not in derivative.content
            assert b"XMP " not in derivative.content
            assert b"ICCP" not in derivative.content


def test_camera_data_and_place_are_facts() -> None:
    content = jpeg(SCENE, exif=exif_block(place=(-33.8568, 151.2153)))
    facts = process(content).facts
    assert facts.exif == {
        "camera_make": "Maker",
        "camera_model": "Model One",
        "lens": "Lens 35 mm",
        "exposure_time": 0.008,
        "f_number": 2.8,
        "iso": 400,
        "focal_length": 35.0,
        "taken_at": "2024-05-06T07:08:09+02:00",
    }
    assert facts.location == {"latitude": -33.8568, "longitude": 151.2153, "altitude": -12.5}
    without = process(content, ProcessingRequest(keep_location=False)).facts
    assert without.location is None
    assert without.exif == facts.exif
    assert "151.2" not in json.dumps(without.to_json())


@pytest.mark.parametrize("kind", ["png", "webp", "heic", "tiff"])
def test_camera_data_is_read_from_every_container(kind: str) -> None:
    exif = exif_block(place=(1.5, 2.5))
    if kind == "heic":
        content = heic(SCENE, exif=exif)
    elif kind == "tiff":
        target = io.BytesIO()
        tags = Image.Exif()
        tags.load(exif)
        Image.fromarray(SCENE.numpy()).save(target, "TIFF", exif=tags)
        content = target.getvalue()
    else:
        content = pil("RGB", kind, exif=exif)
    facts = process(content).facts
    assert facts.exif["camera_make"] == "Maker"
    assert facts.location is not None
    assert facts.location["latitude"] == 1.5


@pytest.mark.parametrize("picture_format", ["GIF", "WEBP"])
def test_animation_moves_in_thumb_and_preview_and_stands_still_in_large(picture_format: str) -> None:
    picture = process(animation(picture_format, frames=5, loop=3, delay_ms=80))
    # A GIF counts the repetitions after the first run.
    loops = 4 if picture_format == "GIF" else 3
    assert (picture.facts.frames, picture.facts.duration_ms, picture.facts.loop_count) == (5, 400, loops)
    assert {item.preset: item.frames for item in picture.derivatives} == {"thumb": 5, "preview": 5, "large": 1}
    for item in picture.derivatives:
        assert (item.width_px, item.height_px) == (160, 120)
        read_back = pyvips.Image.webpload_buffer(item.content, n=-1)
        assert read_back.height == 120 * item.frames
        if item.frames > 1:
            assert read_back.get("delay") == [80] * 5
            assert read_back.get("loop") == loops
            original = pyvips.Image.new_from_buffer(animation(picture_format, frames=5), "", n=-1)
            last = (0, 480, 160, 120)
            assert difference(read_back.crop(*last), original.crop(*last)) < 6


def test_large_animation_is_shrunk_frame_by_frame() -> None:
    picture = process(animation("GIF", frames=3, side_px=1101))
    sizes = {item.preset: (item.width_px, item.height_px, item.frames) for item in picture.derivatives}
    assert sizes == {"thumb": (256, 192, 3), "preview": (1024, 768, 3), "large": (1468, 1101, 1)}


def test_first_frames_of_a_longer_animation_are_taken() -> None:
    content = animation("GIF", frames=12)
    picture = process(content, ProcessingRequest(limits=PictureLimits(max_frames=4)))
    assert picture.facts.frames == 12
    assert {item.frames for item in picture.derivatives} == {4, 1}
    by_bytes = process(content, ProcessingRequest(limits=PictureLimits(max_decoded_bytes=160 * 120 * 4 * 3)))
    assert max(item.frames for item in by_bytes.derivatives) in {3, 4}


def test_first_page_of_a_tiff_is_taken() -> None:
    target = io.BytesIO()
    pages = [Image.fromarray(SCENE.numpy()), Image.new("RGB", (50, 50), "red")]
    pages[0].save(target, "TIFF", save_all=True, append_images=pages[1:])
    picture = process(target.getvalue())
    assert picture.facts.frames == 1
    assert difference(decoded(picture), SCENE) < 3


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "kind",
    ["jpeg", "progressive jpeg", "png", "interlaced png", "webp", "lossless webp", "gif", "tiff", "avif", "heic"],
)
def test_truncated_picture_never_succeeds(kind: str, part: float) -> None:
    whole = STILLS[kind]()
    assert rejection(whole[: int(len(whole) * part)]) == "image-truncated"


@pytest.mark.parametrize("picture_format", ["GIF", "WEBP"])
@pytest.mark.parametrize("part", [0.5, 0.7, 0.99])
def test_truncated_animation_never_succeeds(picture_format: str, part: float) -> None:
    whole = animation(picture_format)
    assert rejection(whole[: int(len(whole) * part)]) == "image-truncated"


def test_truncated_jpeg_is_called_truncated_also_when_it_is_decoded_at_a_reduced_size() -> None:
    whole = scene(4200, 1000).jpegsave_buffer()
    assert rejection(whole[: len(whole) // 2]) == "image-truncated"


def test_damaged_picture_is_refused() -> None:
    whole = bytearray(SCENE.pngsave_buffer())
    whole[len(whole) // 2 : len(whole) // 2 + 200] = bytes(200)
    assert rejection(bytes(whole)) == "image-undecodable"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"hello", "not-an-image"),
        (b"", "not-an-image"),
        (b"%PDF-1.7\n", "image-format-not-allowed"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "image-format-not-allowed"),
        (b"BM" + bytes(60), "image-format-not-allowed"),
    ],
)
def test_other_kinds_of_files_are_refused_by_name(content: bytes, code: str) -> None:
    assert rejection(content) == code


@pytest.mark.parametrize(
    ("width_px", "height_px", "code"),
    [
        (0, 100, "image-dimensions-invalid"),
        (100, 0, "image-dimensions-invalid"),
        (2**31 - 1, 2**31 - 1, "image-dimensions-invalid"),
        (100_000, 1, "image-dimensions-invalid"),
        (20_000, 20_000, "image-too-many-pixels"),
        (50_000, 1_001, "image-too-many-pixels"),
    ],
)
def test_size_is_refused_from_the_header(width_px: int, height_px: int, code: str) -> None:
    started_at = time.monotonic()
    assert rejection(png_header(width_px, height_px)) == code
    assert time.monotonic() - started_at < 1


@pytest.mark.parametrize("picture_format", ["heic", "avif"])
def test_format_can_be_switched_off(picture_format: str) -> None:
    allowed = tuple(name for name in PictureLimits().allowed_formats if name != picture_format)
    request = ProcessingRequest(limits=PictureLimits(allowed_formats=allowed))
    assert rejection(STILLS[picture_format](), request) == "image-format-not-allowed"


def test_no_step_begins_after_the_deadline() -> None:
    with pytest.raises(PictureRejected) as raised:
        process(SCENE.jpegsave_buffer(), seconds=-1)
    assert raised.value.code == "processing-timeout"


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_long_and_thin_picture_has_no_side_without_pixels(kind: str) -> None:
    thin = pyvips.Image.black(8000, 2, bands=3).copy(interpretation="srgb")
    picture = process(getattr(thin, f"{kind}save_buffer")())
    assert [(item.width_px, item.height_px) for item in picture.derivatives] == [(256, 1), (1024, 1), (2048, 1)]


def test_alike_pictures_have_near_hashes_and_others_do_not() -> None:
    def bits(content: bytes) -> int:
        return int(process(content).facts.perceptual_hash, 16)

    original = bits(SCENE.pngsave_buffer())
    assert (original ^ bits(SCENE.resize(0.4).jpegsave_buffer(Q=50))).bit_count() <= 8
    assert (original ^ bits(SCENE.fliphor().pngsave_buffer())).bit_count() > 16


def test_dominant_colors_of_flat_areas_are_exact() -> None:
    pixels = np.zeros((100, 100, 3), dtype=np.uint8)
    pixels[:60], pixels[60:90], pixels[90:] = (255, 0, 0), (0, 0, 255), (255, 255, 255)
    facts = process(pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").pngsave_buffer()).facts
    assert facts.colors == [
        {"hex": "#ff0000", "share": 0.6},
        {"hex": "#0000ff", "share": 0.3},
        {"hex": "#ffffff", "share": 0.1},
    ]


def test_transparent_picture_has_no_colors() -> None:
    assert process(palette_png(SCENE, transparent_part=1.0)).facts.colors == []


def test_request_survives_the_way_to_a_worker() -> None:
    request = ProcessingRequest(limits=PictureLimits(max_frames=3, allowed_formats=("gif",)), keep_location=False)
    assert ProcessingRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
