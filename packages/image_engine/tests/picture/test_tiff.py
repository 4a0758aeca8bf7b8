import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from PIL import Image

from image_core.images.tiff_directory import read_pages
from image_engine.contract.answers import ProcessedPicture
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import ProcessingRequest
from image_engine.picture.analysis_picture import prepare_picture
from image_engine.testing.renditions import middles, rendered
from image_engine.worker.pipeline import process_picture

from .tiff_writer import Tags, tiff, tiff_of_pages, tiff_of_strips

Array = npt.NDArray[Any]

COLORS = [(200, 60, 50), (60, 170, 70), (50, 70, 190), (128, 128, 128)]
LIGHTNESS = [101, 126, 78, 128]
ALPHA = 127


def quarters(values: list[Any]) -> Array:
    """Pixels of shape (40, 60, bands), one value for each quarter."""
    top, bottom = np.array(values, dtype=np.float64).reshape(2, 2, -1)
    return np.repeat(np.repeat(np.stack([top, bottom]), 20, axis=0), 30, axis=1)


RGB, GRAY = quarters(COLORS), quarters(LIGHTNESS)


def process(content: bytes) -> ProcessedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        return process_picture(picture.fileno(), ProcessingRequest(), time.monotonic() + 60)


def shown(content: bytes) -> list[tuple[int, ...]]:
    """The colour in the middle of each quarter of the preview; analyzers and delivery have to show the same."""
    preview = next(item for item in process(content).derivatives if item.preset == "preview")
    image = pyvips.Image.webpload_buffer(preview.content)
    with open_picture_file() as picture:
        picture.write(content)
        seen = prepare_picture(picture.fileno(), PictureLimits(), detail=True, camera=False).srgb
    points = [(image.width * x // 4, image.height * y // 4) for y in (1, 3) for x in (1, 3)]
    if not image.hasalpha():
        assert (
            np.abs(seen[[y for _, y in points], [x for x, _ in points]] - np.array([image(*p) for p in points])).max()
            < 5
        )
    found = [tuple(round(value) for value in image(*point)) for point in points]
    delivered = np.array(middles(rendered(content)))
    assert np.abs(delivered[:, : image.bands] - np.array(found)).max() < 5, delivered
    assert image.hasalpha() or (delivered[:, 3] == 255).all()
    return found


def assert_shown(content: bytes, colors: list[Any], tolerance: int = 3) -> None:
    expected = quarters(colors)[[10, 10, 30, 30], [15, 45, 15, 45]]
    if expected.shape[1] == 1:
        expected = np.repeat(expected, 3, axis=1)
    assert np.abs(np.array(shown(content)) - expected).max() <= tolerance, shown(content)


def whole_range(pixels: Array, kind: str) -> Array:
    """Stretch 0…255 to the range of a type: 0…1 for floats."""
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return (pixels / 255).astype(dtype)
    limits = np.iinfo(dtype)
    return np.round(pixels / 255 * (limits.max - limits.min) + limits.min).astype(dtype)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4"])
def test_samples_of_every_kind_are_scaled_by_their_range(kind: str) -> None:
    opaque = np.full((40, 60, 1), 255.0)
    assert_shown(tiff(whole_range(GRAY, kind), 1), LIGHTNESS)
    assert_shown(tiff(whole_range(RGB, kind), 2, deflate=True), COLORS)
    assert_shown(tiff(whole_range(255 - GRAY, kind), 0), LIGHTNESS)
    if kind != "f2":
        assert_shown(tiff(whole_range(RGB, kind), 2, {284: 2}), COLORS)
    half = whole_range(np.dstack([RGB, opaque * ALPHA / 255]), kind)
    if np.dtype(kind).kind == "i":
        # A signed alpha begins at zero.
        half[..., 3] = np.iinfo(kind).max // 2
    assert_shown(tiff(half, 2, {338: 2}), [(*color, ALPHA) for color in COLORS])
    facts = process(tiff(whole_range(GRAY, kind), 1)).facts
    assert (facts.bit_depth, facts.color_space, facts.has_alpha) == (np.dtype(kind).itemsize * 8, "gray", False)


@pytest.mark.parametrize("kind", ["i2", "i4", "u4", "f4"])
@pytest.mark.parametrize("white", [255, 65_535])
def test_samples_that_were_widened_keep_their_brightness(kind: str, white: int) -> None:
    if (kind, white) == ("i2", 65_535):
        white = 32_767
    assert_shown(tiff(np.round(GRAY * (white / 255)).astype(kind), 1), LIGHTNESS)


@pytest.mark.parametrize("kind", ["i2", "i4", "f4"])
def test_heights_go_from_the_lowest_to_the_highest(kind: str) -> None:
    assert_shown(tiff(quarters([-50, 700, 1450, 2950]).astype(kind), 1), [0, 64, 128, 255])
    assert_shown(tiff(quarters([500, 500, 500, 500]).astype(kind), 1), [0] * 4)


def test_what_is_no_number_leaves_the_rest_as_it_is() -> None:
    assert_shown(tiff(quarters([np.nan, -3.4e38, 0.5, 1]).astype("f4"), 1), [0, 0, 128, 255])
    assert_shown(tiff(quarters([np.inf, 0, 0.5, 1]).astype("f4"), 1), [255, 0, 128, 255])


def test_light_beyond_white_does_not_turn_the_picture_black() -> None:
    assert_shown(tiff(quarters([0, 1, 2, 4]).astype("f4"), 1), [0, 64, 128, 255])


def test_floating_point_goes_through_its_profile() -> None:
    profile = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb").icc_transform("p3").get("icc-profile-data")
    narrow = tiff(whole_range(RGB, "f4"), 2, {34675: profile})
    expected = pyvips.Image.new_from_array(RGB.astype(np.uint8)).copy(interpretation="srgb")
    expected = expected.copy()
    expected.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    expected = expected.icc_transform("srgb", embedded=True)
    assert_shown(narrow, [tuple(expected(x, y)) for y in (10, 30) for x in (15, 45)])


# --- Extra samples ------------------------------------------------------------------------------------------------


def extra(*values: int) -> list[Array]:
    return [np.full((40, 60, 1), value) for value in values]


@pytest.mark.parametrize(
    ("samples", "meanings", "has_alpha"),
    [
        (extra(0), (0,), False),
        (extra(0), None, False),
        (extra(ALPHA), (2,), True),
        (extra(ALPHA, 9), (2, 0), True),
        (extra(9, ALPHA), (0, 2), True),
        (extra(0, 9), (0, 0), False),
    ],
)
@pytest.mark.parametrize("kind", ["gray", "rgb", "cmyk", "palette"])
def test_only_a_sample_that_is_called_alpha_is_alpha(
    kind: str, samples: list[Array], meanings: tuple[int, ...] | None, *, has_alpha: bool
) -> None:
    pixels, photometric, tags = {
        "gray": (GRAY, 1, {}),
        "rgb": (RGB, 2, {}),
        "cmyk": (quarters([(0, 0, 0, 255 - light) for light in LIGHTNESS]), 5, {}),
        "palette": (quarters([0, 1, 2, 3]), 3, {320: color_map(256)}),
    }[kind]
    if meanings is not None:
        tags = {**tags, 338: meanings}
    with_extra = tiff(np.dstack([pixels, *samples]).astype("u1"), photometric, tags)
    without = tiff(pixels.astype("u1"), photometric, {tag: value for tag, value in tags.items() if tag != 338})
    alone = shown(without)
    assert shown(with_extra) == [(*color, ALPHA) for color in alone] if has_alpha else alone
    assert process(with_extra).facts.has_alpha == has_alpha


def color_map(size: int) -> tuple[int, ...]:
    return tuple(COLORS[min(index, 3)][band] * 257 for band in range(3) for index in range(size))


def test_premultiplied_colors_are_divided_by_their_alpha() -> None:
    for scale, kind in ((1, "u1"), (257, "u2")):
        half = np.dstack([np.round(RGB / 2), *extra(128)]) * scale
        assert_shown(tiff(half.astype(kind), 2, {338: 1}), [(*color, 128) for color in COLORS])
        followed = np.dstack([half, extra(9)[0]])
        assert_shown(tiff(followed.astype(kind), 2, {338: (1, 0)}), [(*color, 128) for color in COLORS])


# --- Colour -------------------------------------------------------------------------------------------------------


def ycbcr(subsampling: tuple[int, int] = (1, 1)) -> bytes:
    """Full-range Rec. 601, packed as TIFF does: a block of luma, then its two chroma samples."""
    red, green, blue = np.moveaxis(RGB, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = np.round(np.dstack([luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402])).astype(np.uint8)
    width, height = subsampling
    packed = bytearray()
    for top in range(0, 40, height):
        for left in range(0, 60, width):
            packed += planes[top : top + height, left : left + width, 0].tobytes()
            packed += planes[top, left, 1:].tobytes()
    return bytes(packed)


YCBCR_TAGS: Tags = {258: (8, 8, 8), 262: 6, 277: 3, 532: (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)}


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 2)])
def test_ycbcr_is_shown_in_its_colors(subsampling: tuple[int, int]) -> None:
    content = tiff_of_strips([ycbcr(subsampling)], 60, 40, {**YCBCR_TAGS, 259: 1, 530: subsampling})
    assert_shown(content, COLORS, tolerance=4)
    facts = process(content).facts
    assert (facts.has_alpha, facts.color_space) == (False, "rgb")


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_compressed_ycbcr_is_shown_in_its_colors(compression: str) -> None:
    target = io.BytesIO()
    options = {"quality": 95} if compression == "jpeg" else {}
    Image.fromarray(RGB.astype(np.uint8)).convert("YCbCr").save(target, "TIFF", compression=compression, **options)
    assert_shown(target.getvalue(), COLORS, tolerance=5)


def test_ycbcr_of_video_range_reaches_black_and_white() -> None:
    pixels = quarters([(16, 128, 128), (235, 128, 128), (126, 128, 128), (16, 128, 128)])
    tags: Tags = {530: (1, 1), 532: (16.0, 235.0, 128.0, 240.0, 128.0, 240.0)}
    assert_shown(tiff(pixels.astype("u1"), 6, tags), [0, 255, 128, 0])


@pytest.mark.parametrize(("kind", "unit"), [("u1", 1), ("u2", 256)])
def test_icc_lab_is_shown_in_its_colors(kind: str, unit: int) -> None:
    colors = pyvips.Image.new_from_array(RGB.astype(np.uint8)).copy(interpretation="srgb").colourspace("lab").numpy()
    top = 255 if unit == 1 else 65_280
    encoded = np.dstack([colors[..., :1] / 100 * top, (colors[..., 1:] + 128) * unit])
    assert_shown(tiff(np.round(encoded).astype(kind), 9), COLORS, tolerance=4)


# --- Pages --------------------------------------------------------------------------------------------------------


def page(pixels: Array, tags: Tags) -> tuple[list[bytes], Tags]:
    height, width, bands = pixels.shape
    entries: Tags = {256: width, 257: height, 258: (8,) * bands, 259: 1, 262: 2, 277: bands, 278: height}
    return [pixels.astype(np.uint8).tobytes()], {**entries, **tags}


PREVIEW = page(np.full((8, 12, 3), 255.0), {254: 1})


@pytest.mark.parametrize("mark", [{254: 1}, {255: 2}, {254: 4}])
def test_the_page_of_full_size_is_shown_whatever_comes_first(mark: Tags) -> None:
    content = tiff_of_pages([page(np.full((8, 12, 3), 255.0), mark), page(RGB, {254: 0})])
    assert_shown(content, COLORS)
    assert process(content).facts.width_px == 60


def test_a_preview_alone_is_shown() -> None:
    assert process(tiff_of_pages([PREVIEW])).facts.width_px == 12


def sub_directory(first: tuple[list[bytes], Tags], second: tuple[list[bytes], Tags]) -> bytes:
    """The second page hangs below the first one instead of following it."""
    chained = tiff_of_pages([(first[0], {**first[1], 330: (0,)}), second])
    directory = 8
    count = int.from_bytes(chained[directory : directory + 2], "little")
    link = directory + 2 + 12 * count
    offset = chained[link : link + 4]
    entries = range(directory + 2, link, 12)
    place = next(entry for entry in entries if chained[entry : entry + 2] == (330).to_bytes(2, "little"))
    return chained[: place + 8] + offset + chained[place + 12 : link] + bytes(4) + chained[link + 4 :]


def test_a_sub_directory_of_full_size_is_shown() -> None:
    content = sub_directory(PREVIEW, page(RGB, {}))
    assert len(read_pages(content)) == 1
    assert_shown(content, COLORS)


def rejected(content: bytes) -> PictureRejected:
    with pytest.raises(PictureRejected) as raised:
        process(content)
    return raised.value


RAW: dict[str, Callable[[], bytes]] = {
    "version in front": lambda: tiff_of_pages([page(RGB, {50706: b"\x01\x04\x00\x00"})]),
    "sensor below a preview": lambda: sub_directory(PREVIEW, page(GRAY, {262: 32803})),
    "demosaiced below a preview": lambda: sub_directory(PREVIEW, page(RGB, {262: 34892})),
    "sensor first": lambda: tiff_of_pages([page(GRAY, {262: 32803, 259: 65_535})]),
    "sensor as grey": lambda: tiff_of_pages([page(GRAY, {262: 1, 33421: (2, 2)})]),
    "sensor behind a preview": lambda: tiff_of_pages([PREVIEW, page(GRAY, {262: 32803})]),
    "maker's compression": lambda: sub_directory(PREVIEW, page(GRAY, {262: 1, 259: 34713})),
}


@pytest.mark.parametrize("kind", RAW)
def test_a_camera_raw_file_is_refused_by_name(kind: str) -> None:
    rejection = rejected(RAW[kind]())
    assert rejection.code == "image-format-not-allowed"
    assert "camera raw file" in rejection.message


# --- What is not decoded ------------------------------------------------------------------------------------------

UNSUPPORTED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zstd": ("Zstandard", lambda: tiff(RGB.astype("u1"), 2, {259: 50_000})),
    "lzma": ("LZMA", lambda: tiff(RGB.astype("u1"), 2, {259: 34_925})),
    "old jpeg": ("old-style JPEG", lambda: tiff(RGB.astype("u1"), 6, {259: 6})),
    "deep jpeg": ("JPEG of 16 bits", lambda: tiff(RGB.astype("u2"), 2, {259: 7})),
    "jpeg 2000": ("JPEG 2000", lambda: tiff(RGB.astype("u1"), 2, {259: 34_712})),
    "unheard of": ("compression 12345", lambda: tiff(RGB.astype("u1"), 2, {259: 12_345})),
    "12 bits": ("12 bits", lambda: tiff_of_strips([bytes(3600)], 60, 40, {258: 12, 259: 1, 262: 1, 277: 1})),
    "14 bits": ("14 bits", lambda: tiff_of_strips([bytes(4200)], 60, 40, {258: 14, 259: 1, 262: 1, 277: 1})),
    "double": ("64 bits", lambda: tiff(GRAY.astype("f8"), 1)),
    "long": ("64 bits", lambda: tiff(GRAY.astype("u8"), 1)),
    "complex": ("complex", lambda: tiff_of_strips([bytes(19_200)], 60, 40, {258: 64, 259: 1, 262: 1, 277: 1, 339: 6})),
    "inks": ("inks", lambda: tiff(np.dstack([GRAY] * 4).astype("u1"), 5, {332: 2})),
    "mixed": ("different", lambda: tiff_of_strips([bytes(9600)], 60, 40, {258: (8, 8, 16), 259: 1, 262: 2, 277: 3})),
    "lab": ("Lab", lambda: tiff(RGB.astype("u1"), 8)),
    "mask": ("interpretation 4", lambda: tiff_of_strips([bytes(320)], 60, 40, {258: 1, 259: 1, 262: 4, 277: 1})),
    "half floats in planes": ("in planes", lambda: tiff(RGB.astype("f2"), 2, {284: 2})),
    "premultiplied": ("by alpha", lambda: tiff(np.dstack([RGB, GRAY]).astype("f4"), 2, {338: 1})),
    "planes": ("planes", lambda: tiff(RGB.astype("u1"), 6, {284: 2, 530: (1, 1)})),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_what_is_not_decoded_is_named_and_not_called_damaged(kind: str) -> None:
    phrase, make = UNSUPPORTED[kind]
    rejection = rejected(make())
    assert rejection.code == "image-variant-not-supported"
    assert rejection.message.startswith("Not supported: TIFF")
    assert phrase in rejection.message
