"""Colours against an independent calculation: ITU-T H.273's numbers, by matrices of NumPy alone."""

import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
import pyvips
from PIL import Image, ImageCms

from image_engine.contract.answers import ProcessedPicture
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.requests import ProcessingRequest
from image_engine.picture.color_coding import ColorCoding
from image_engine.picture.icc_profile import is_srgb
from image_engine.testing.pictures import heic
from image_engine.testing.renditions import middles, rendered
from image_engine.worker.pipeline import process_picture

COLORS = [(200, 60, 50), (60, 170, 70), (50, 70, 190), (128, 128, 128)]
GRAYS = [40, 90, 128, 220]
Floats = npt.NDArray[np.float64]

# Chromaticities of red, green and blue under D65.
SRGB = [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)]
P3 = [(0.68, 0.32), (0.265, 0.69), (0.15, 0.06)]
BT2020 = [(0.708, 0.292), (0.17, 0.797), (0.131, 0.046)]


def quarters(values: list[Any]) -> npt.NDArray[np.uint8]:
    pixels = np.array(values, dtype=np.uint8).reshape(2, 2, -1)
    return np.squeeze(np.repeat(np.repeat(pixels, 60, axis=0), 80, axis=1))


def to_xyz(chromaticities: list[tuple[float, float]]) -> Floats:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in chromaticities]).T
    white = np.array([0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329])
    return np.asarray(columns * np.linalg.solve(columns, white))


def srgb_light(values: Floats) -> Floats:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def as_srgb(light: Floats) -> Floats:
    light = np.clip(light, 0, 1)
    return np.asarray(255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055))


def expected(chromaticities: list[tuple[float, float]], gamma: float | None = None) -> Floats:
    values = np.array(COLORS) / 255
    light = srgb_light(values) if gamma is None else values**gamma
    return as_srgb(light @ to_xyz(chromaticities).T @ np.linalg.inv(to_xyz(SRGB)).T)


def process(content: bytes) -> ProcessedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        return process_picture(picture.fileno(), ProcessingRequest(), time.monotonic() + 60)


def shown(content: bytes) -> Floats:
    large = next(item.content for item in process(content).derivatives if item.preset == "large")
    image = pyvips.Image.webpload_buffer(large)
    return np.array([image(image.width * x // 4, image.height * y // 4)[:3] for y in (1, 3) for x in (1, 3)])


def assert_shown(content: bytes, colors: Any, tolerance: float = 5) -> None:
    got = shown(content)
    assert np.abs(got - np.array(colors)).max() <= tolerance, got
    delivered = np.array(middles(rendered(content)))[:, :3]
    assert np.abs(delivered - np.array(colors)).max() <= tolerance, delivered


# --- PNG ----------------------------------------------------------------------------------------------------------


def png(*chunks: tuple[bytes, bytes], pixels: npt.NDArray[np.uint8] | None = None) -> bytes:
    target = io.BytesIO()
    Image.fromarray(quarters(COLORS) if pixels is None else pixels).save(target, "PNG")
    content = target.getvalue()
    added = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return content[:33] + added + content[33:]


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(gamma * 100_000))


def chrm(chromaticities: list[tuple[float, float]]) -> tuple[bytes, bytes]:
    points = [(0.3127, 0.329), *chromaticities]
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for point in points for value in point))


def iccp(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"x\x00\x00" + zlib.compress(profile)


P3_PROFILE = ColorCoding(12, 13).profile(gray=False) or b""
SWAPPED_PROFILE = (
    ColorCoding(13, 13, chromaticities=((0.30, 0.60), (0.64, 0.33), (0.15, 0.06), (0.3127, 0.329))).profile(gray=False)
    or b""
)
CICP_P3, CICP_SRGB, SRGB_CHUNK = (b"cICP", bytes([12, 13, 0, 1])), (b"cICP", bytes([1, 13, 0, 1])), (b"sRGB", b"\x00")


@pytest.mark.parametrize(
    ("chunks", "colors"),
    [
        ([gama(1.0)], expected(SRGB, 1.0)),
        ([gama(1 / 1.8)], expected(SRGB, 1.8)),
        ([gama(0.45455)], COLORS),
        ([gama(0.45455), chrm(SRGB)], COLORS),
        ([gama(0.45455), chrm(P3)], expected(P3)),
        ([gama(1.0), chrm(P3)], expected(P3, 1.0)),
        ([SRGB_CHUNK, gama(1.0), chrm(P3)], COLORS),
        ([iccp(P3_PROFILE), gama(1.0)], expected(P3)),
        ([CICP_P3], expected(P3)),
        ([CICP_P3, SRGB_CHUNK, gama(1.0)], expected(P3)),
        ([CICP_SRGB, iccp(P3_PROFILE)], COLORS),
        ([(b"cICP", bytes([9, 8, 0, 1]))], expected(BT2020, 1.0)),
        ([(b"cICP", bytes([1, 4, 0, 1]))], expected(SRGB, 2.2)),
        ([(b"cICP", bytes([2, 2, 0, 1]))], COLORS),
        ([(b"cICP", bytes([255, 255, 0, 1]))], COLORS),
        ([(b"cHRM", bytes(32))], COLORS),
        ([(b"gAMA", bytes(4))], COLORS),
    ],
)
def test_colour_chunks_count_in_the_order_of_the_standard(chunks: list[tuple[bytes, bytes]], colors: Any) -> None:
    assert_shown(png(*chunks), colors)


def test_gamma_counts_for_gray_and_16_bits_and_palettes() -> None:
    light = np.repeat(as_srgb(np.array(GRAYS) / 255)[:, np.newaxis], 3, axis=1)
    assert_shown(png(gama(1.0), pixels=quarters(GRAYS)), light)
    deep = Image.fromarray(quarters(GRAYS).astype(np.uint16) * 257)
    target = io.BytesIO()
    deep.save(target, "PNG")
    content = target.getvalue()
    chunk = png(gama(1.0))[33:49]
    assert_shown(content[:33] + chunk + content[33:], light)
    target = io.BytesIO()
    Image.fromarray(quarters(COLORS)).quantize(8).save(target, "PNG")
    content = target.getvalue()
    assert_shown(content[:33] + chunk + content[33:], expected(SRGB, 1.0))


def test_video_range_of_a_png_reaches_black_and_white() -> None:
    values = quarters([(16, 16, 16), (235, 235, 235), (126, 126, 126), (0, 0, 0)])
    assert_shown(png((b"cICP", bytes([1, 13, 0, 0])), pixels=values), [[0] * 3, [255] * 3, [128] * 3, [0] * 3])


# --- AVIF and HEIC ------------------------------------------------------------------------------------------------


def with_nclx(content: bytes, primaries: int, transfer: int) -> bytes:
    """Write other numbers into the box that says how colours are coded."""
    place = content.index(b"colrnclx") + 8
    return content[:place] + struct.pack(">HH", primaries, transfer) + content[place + 4 :]


def avif_and_heic(primaries: int, transfer: int) -> list[bytes]:
    target = io.BytesIO()
    Image.fromarray(quarters(COLORS)).save(target, "AVIF", quality=95, speed=10, subsampling="4:4:4")
    image = pyvips.Image.new_from_array(quarters(COLORS))
    numbers = {"color_primaries": 1, "transfer_characteristic": 13, "matrix_coefficients": 6}
    hevc = heic(image, chroma="444", full_range_flag=1, **numbers)
    deep = pillow_heif.from_bytes("RGB;16", (160, 120), (quarters(COLORS).astype(np.uint16) * 257).tobytes())
    deep_target = io.BytesIO()
    deep.save(deep_target, quality=90, chroma="444", full_range_flag=1, **numbers)
    return [with_nclx(content, primaries, transfer) for content in (target.getvalue(), hevc, deep_target.getvalue())]


@pytest.mark.parametrize(
    ("primaries", "transfer", "colors"),
    [
        (12, 13, expected(P3)),
        (9, 14, expected(BT2020)),
        (1, 13, COLORS),
        (1, 8, expected(SRGB, 1.0)),
        (1, 4, expected(SRGB, 2.2)),
        (2, 2, COLORS),
    ],
)
def test_numbers_of_avif_and_heic_are_followed(primaries: int, transfer: int, colors: Any) -> None:
    for content in avif_and_heic(primaries, transfer):
        assert_shown(content, colors)


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_brought_to_the_range_of_a_screen(transfer: int) -> None:
    # Samples of 0, 100, 203 and 1000 cd/m²; of HLG what shows as that.
    samples = {16: [0, 130, 148, 192], 18: [0, 155, 191, 255]}[transfer]
    content = png((b"cICP", bytes([9, transfer, 0, 1])), pixels=quarters([(value,) * 3 for value in samples]))
    black, middle, white, peak = shown(content)[:, 0]
    assert black == 0
    assert 175 < middle < 200
    assert 215 < white < 240
    assert peak > 250


# --- Profiles -----------------------------------------------------------------------------------------------------


def test_a_profile_is_judged_by_its_content() -> None:
    assert is_srgb(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert not is_srgb(P3_PROFILE)
    assert not is_srgb(ColorCoding(1, 8).profile(gray=False) or b"")
    assert not is_srgb(ColorCoding(1, 4).profile(gray=False) or b"")
    assert not is_srgb(SWAPPED_PROFILE)
    named = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb").icc_transform("srgb").get("icc-profile-data")
    assert is_srgb(named)
    for length in range(0, len(named), 7):
        is_srgb(named[:length])


def jpeg(profile: bytes) -> bytes:
    target = io.BytesIO()
    Image.fromarray(quarters(COLORS)).save(target, "JPEG", quality=95, subsampling=0, icc_profile=profile)
    return target.getvalue()


def renamed(profile: bytes, name: bytes) -> bytes:
    return profile.replace(b"coded", name[:5])


def test_a_profile_is_not_believed_by_its_name() -> None:
    swapped = [(green, red, blue) for red, green, blue in expected(SRGB)]
    assert_shown(jpeg(renamed(SWAPPED_PROFILE, b"sRGB ")), swapped)
    linear = ColorCoding(1, 8).profile(gray=False) or b""
    assert_shown(jpeg(renamed(linear, b"sRGB ")), expected(SRGB, 1.0))


@pytest.mark.parametrize("length", [0, 20, 131, 140, 250, 300, 600])
def test_a_broken_profile_counts_as_none(length: int) -> None:
    assert_shown(jpeg(P3_PROFILE[:length] or b"x"), COLORS)
    assert_shown(
        png(iccp(P3_PROFILE[:length]), gama(1.0) if length < 132 else SRGB_CHUNK),
        expected(SRGB, 1.0) if length < 132 else COLORS,
    )


def test_the_profiles_that_are_built_say_the_same_to_another_library() -> None:
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(P3_PROFILE)), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(Image.fromarray(quarters(COLORS)), source, target)
    got = np.array([converted.getpixel((x, y)) for y in (30, 90) for x in (40, 120)])
    assert np.abs(got - expected(P3)).max() <= 2
