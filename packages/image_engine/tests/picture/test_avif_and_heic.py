import io
import struct
import time
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image

from image_core.images.heif_items import boxes
from image_engine.contract.answers import ProcessedPicture
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.rejections import PictureRejected
from image_engine.contract.requests import ProcessingRequest
from image_engine.picture import avif_planes, heif_planes
from image_engine.picture.analysis_picture import prepare_picture
from image_engine.picture.yuv_planes import YuvPlanes, rgb_of_planes
from image_engine.pool.pool import WorkerPool
from image_engine.pool.worker_limits import WorkerLimits
from image_engine.testing import renditions
from image_engine.testing.pictures import ORIENTATIONS, difference, exif_block, heic, scene, turned_for
from image_engine.testing.renditions import rendered
from image_engine.worker.pipeline import process_picture

SCENE = scene()
COLORS = [(200, 60, 50), (60, 170, 70), (50, 70, 190), (128, 128, 128)]


def process(content: bytes) -> ProcessedPicture:
    with open_picture_file() as picture:
        picture.write(content)
        return process_picture(picture.fileno(), ProcessingRequest(), time.monotonic() + 60)


def large(picture: ProcessedPicture) -> pyvips.Image:
    return pyvips.Image.webpload_buffer(next(item.content for item in picture.derivatives if item.preset == "large"))


def quarters(width_px: int = 320, height_px: int = 240) -> Image.Image:
    pixels = np.array(COLORS, dtype=np.uint8).reshape(2, 2, 3)
    return Image.fromarray(np.repeat(np.repeat(pixels, height_px // 2, axis=0), width_px // 2, axis=1))


def avif(image: Image.Image, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, "AVIF", quality=90, speed=10, **options)
    return target.getvalue()


def middles(image: pyvips.Image) -> list[list[float]]:
    return [image(image.width * x // 4, image.height * y // 4) for y in (1, 3) for x in (1, 3)]


def assert_colors(content: bytes, colors: list[Any], tolerance: int = 4) -> None:
    shown = middles(large(process(content)))
    delivered = renditions.middles(rendered(content))
    for found in (shown, delivered):
        assert np.abs(np.array(found)[:, : len(colors[0])] - np.array(colors)).max() <= tolerance, found


def test_the_bundled_libraries_are_found() -> None:
    assert avif_planes.is_available
    assert heif_planes.is_available


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("sample_range", ["full", "limited"])
def test_avif_shows_its_colors(subsampling: str, sample_range: str) -> None:
    assert_colors(avif(quarters(), subsampling=subsampling, range=sample_range), COLORS)
    # Odd sides leave chroma a sample over.
    odd = avif(quarters().crop((0, 0, 319, 239)), subsampling=subsampling, range=sample_range)
    assert_colors(odd, COLORS)


@pytest.mark.parametrize("sample_range", ["full", "limited"])
def test_gray_avif_is_neither_washed_out_nor_clipped(sample_range: str) -> None:
    values = [0, 78, 128, 255]
    pixels = np.repeat(np.repeat(np.array(values, dtype=np.uint8).reshape(2, 2), 120, axis=0), 160, axis=1)
    content = avif(Image.fromarray(pixels), subsampling="4:0:0", range=sample_range)
    assert_colors(content, [(value,) * 3 for value in values])


def test_avif_keeps_its_alpha() -> None:
    image = quarters().convert("RGBA")
    image.putalpha(127)
    picture = process(avif(image))
    assert picture.facts.has_alpha
    assert np.abs(np.array(middles(large(picture))) - [(*color, 127) for color in COLORS]).max() <= 4


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("subsample", ["on", "off"])
def test_avif_of_every_depth_shows_its_colors(bits: int, subsample: str) -> None:
    image = pyvips.Image.new_from_array(np.asarray(quarters())).copy(interpretation="srgb")
    content = image.heifsave_buffer(compression="av1", Q=90, effort=0, bitdepth=bits, subsample_mode=subsample)
    assert_colors(content, COLORS)
    assert process(content).facts.bit_depth == bits


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("chroma", ["420", "422", "444"])
def test_heic_of_more_than_8_bits_shows_its_colors(bits: int, chroma: str) -> None:
    import pillow_heif

    pixels = np.asarray(quarters()).astype(np.uint16) * 257
    container = pillow_heif.from_bytes("RGB;16", (320, 240), pixels.tobytes())
    target = io.BytesIO()
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    container.save(target, quality=90, chroma=chroma, enc_params={"preset": "ultrafast"})
    assert_colors(target.getvalue(), COLORS)
    assert process(target.getvalue()).facts.bit_depth == bits


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_each_orientation_of_avif_is_applied_once(orientation: int) -> None:
    stored = Image.fromarray(turned_for(SCENE, orientation).numpy())
    content = avif(stored, exif=exif_block(orientation))
    picture = process(content)
    assert (picture.facts.width_px, picture.facts.height_px) == (320, 240)
    assert difference(large(picture), SCENE) < 3


def test_clean_aperture_of_avif_crops() -> None:
    # A profile of 28 bytes makes a box as long as the one that crops.
    content = avif(quarters(), icc_profile=bytes(28), subsampling="4:4:4")
    box = struct.pack(">I4s4s", 40, b"colr", b"prof") + bytes(28)
    assert box in content
    # 160 x 120, its middle 80 pixels to the left of the picture's and 60 above.
    aperture = struct.pack(">I4sIIIIiIiI", 40, b"clap", 160, 1, 120, 1, -80, 1, -60, 1)
    cropped = bytearray(content.replace(box, aperture))
    # What crops has to be marked as essential; the profile was not.
    properties = list(boxes(cropped, cropped.index(b"ipco") + 4, len(cropped)))
    number = [found.kind for found in properties].index(b"clap") + 1
    associations = cropped.index(b"ipma") + 15
    place = cropped.index(number, associations)
    cropped[place] |= 0x80
    picture = process(bytes(cropped))
    assert (picture.facts.width_px, picture.facts.height_px) == (160, 120)
    assert np.abs(np.array(middles(large(picture))) - COLORS[0]).max() <= 4


@pytest.mark.parametrize("side_px", [4100, 6200])
def test_a_large_avif_is_made_smaller_on_the_way(side_px: int) -> None:
    content = avif(quarters(side_px, 400), subsampling="4:2:0")
    assert_colors(content, COLORS)
    with open_picture_file() as picture:
        picture.write(content)
        seen = prepare_picture(picture.fileno(), PictureLimits(), detail=True, camera=False)
    assert seen.width_px == side_px
    assert seen.detail is not None
    assert seen.detail.shape == (400, 512)


def test_premultiplied_planes_are_divided_by_their_alpha() -> None:
    half = [pyvips.Image.black(8, 8) + value for value in (50, 128, 128)]
    planes = tuple(plane.cast("uchar") for plane in half)
    alpha = (pyvips.Image.black(8, 8) + 128).cast("uchar")
    image = rgb_of_planes(YuvPlanes(planes, alpha, 8, 6, full_range=True, premultiplied=True))
    assert np.abs(np.array(image(2, 2)) - [100, 100, 100, 128]).max() <= 1


@pytest.mark.parametrize(("matrix", "red"), [(1, 0.2126), (6, 0.299), (9, 0.2627)])
def test_every_matrix_turns_red_into_red(matrix: int, red: float) -> None:
    # Luma of pure red is red's share of it; chroma of red is at its largest.
    values = [255 * red, 127.5 - 127.5 * red / (1 - {1: 0.0722, 6: 0.114, 9: 0.0593}[matrix]), 255]
    planes = tuple((pyvips.Image.black(4, 4) + round(value)).cast("uchar") for value in values)
    image = rgb_of_planes(YuvPlanes(planes, None, 8, matrix, full_range=True))
    assert np.abs(np.array(image(1, 1)) - [255, 0, 0]).max() <= 3


def test_identity_carries_green_blue_and_red() -> None:
    planes = tuple((pyvips.Image.black(4, 4) + value).cast("uchar") for value in (20, 30, 10))
    assert rgb_of_planes(YuvPlanes(planes, None, 8, 0, full_range=True))(1, 1) == [10, 20, 30]


@pytest.mark.parametrize("coding", [b"jpeg", b"j2k1", b"avc1", b"vvc1", b"unci", b"abcd"])
def test_heif_that_is_coded_otherwise_is_not_called_damaged(coding: bytes) -> None:
    with pytest.raises(PictureRejected) as raised:
        process(heic(SCENE).replace(b"hvc1", coding))
    assert raised.value.code == "image-variant-not-supported"
    assert raised.value.message.startswith("Not supported: HEIF coded with")


def test_heif_without_a_picture_is_refused_and_no_crash() -> None:
    # The header's items cannot be read, and so do not tell.
    with pytest.raises(PictureRejected) as raised:
        process(heic(SCENE).replace(b"hvc1", b"jpeg").replace(b"pitm\x00", b"pitm\x07"))
    assert raised.value.code in {"image-variant-not-supported", "image-undecodable"}


# --- At the published limits --------------------------------------------------------------------------------------

LIMIT = (8640, 5760)


def gradient(width_px: int, height_px: int) -> pyvips.Image:
    places = pyvips.Image.xyz(width_px, height_px)
    across, down = places[0] * (255.0 / width_px), places[1] * (255.0 / height_px)
    return across.bandjoin([down, (across + down) / 2]).cast("uchar").copy(interpretation="srgb")


def deep_heif() -> bytes:
    import pillow_heif

    pixels = gradient(*LIMIT).numpy().astype(np.uint16) << 8
    pillow_heif.options.SAVE_HDR_TO_12_BIT = False
    container = pillow_heif.from_bytes("RGB;16", LIMIT, pixels.tobytes())
    target = io.BytesIO()
    container.save(target, quality=40, chroma="422", enc_params={"preset": "ultrafast"})
    return target.getvalue()


def heic_of_48_megapixels() -> bytes:
    import pillow_heif

    target = io.BytesIO()
    container = pillow_heif.from_bytes("RGB", (8064, 5952), gradient(8064, 5952).numpy().tobytes())
    container.save(target, quality=40, enc_params={"preset": "ultrafast"})
    return target.getvalue()


def av1(**options: Any) -> bytes:
    alpha = options.pop("alpha", False)
    image = gradient(*LIMIT)
    image = image.bandjoin(128) if alpha else image
    content: bytes = image.heifsave_buffer(compression="av1", Q=40, effort=0, **options)
    return content


LARGE = {
    "avif": av1,
    "avif without subsampling": lambda: av1(subsample_mode="off"),
    "avif with alpha": lambda: av1(alpha=True),
    "10-bit avif": lambda: av1(bitdepth=10),
    "10-bit avif without subsampling": lambda: av1(bitdepth=10, subsample_mode="off"),
    "10-bit avif with alpha": lambda: av1(bitdepth=10, alpha=True),
    "10-bit heif": deep_heif,
    "heic": heic_of_48_megapixels,
    "progressive jpeg": lambda: gradient(*LIMIT).jpegsave_buffer(interlace=True, subsample_mode="off"),
    "interlaced png": lambda: gradient(*LIMIT).bandjoin(128).pngsave_buffer(interlace=True, compression=1),
    "interlaced 16-bit png": lambda: (
        (gradient(*LIMIT) * 257).cast("ushort").copy(interpretation="rgb16").pngsave_buffer(interlace=True)
    ),
    "16-bit png with alpha": lambda: gradient(*LIMIT).bandjoin(128).colourspace("rgb16").pngsave_buffer(compression=1),
    "webp": lambda: gradient(*LIMIT).webpsave_buffer(effort=0),
    "lossless webp": lambda: gradient(*LIMIT).bandjoin(128).webpsave_buffer(effort=0, lossless=True),
    "floating-point tiff": lambda: (gradient(*LIMIT) / 255.0).cast("float").tiffsave_buffer(compression="deflate"),
}


@pytest.mark.large
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", LARGE)
async def test_a_picture_at_the_limit_is_processed_in_a_worker(kind: str) -> None:
    content = LARGE[kind]()
    pool = WorkerPool(1, WorkerLimits(deadline_seconds=60))
    await pool.start()
    try:
        with open_picture_file() as picture:
            picture.write(content)
            processed = await pool.process(picture, ProcessingRequest())
    finally:
        await pool.stop()
    assert processed.facts.width_px * processed.facts.height_px > 47_900_000
    preview = next(item.content for item in processed.derivatives if item.preset == "preview")
    assert difference(pyvips.Image.webpload_buffer(preview).extract_band(0, n=3), gradient(1024, 683)) < 6
