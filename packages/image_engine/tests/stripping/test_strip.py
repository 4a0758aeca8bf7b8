import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, ImageSequence

from image_engine.contract.limits import PictureLimits
from image_engine.contract.renditions import full_size_request
from image_engine.picture.exif_orientation import orientation_block, orientation_of
from image_engine.stripping.pieces import CannotStrip
from image_engine.stripping.strip import strip_metadata
from image_engine.testing.pictures import ORIENTATIONS, exif_block, jpeg, palette_png, turned_for
from image_engine.testing.stills import SCENE, STILLS, display_p3, pil

SECRET = b"A SECRET OF THE MAKER"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + SECRET + b"</x:xmpmeta>"
PROFILE = display_p3().get("icc-profile-data")


def strip(content: bytes) -> bytes:
    pieces = strip_metadata(content)
    stripped = b"".join(pieces.parts(content))
    assert len(stripped) == pieces.size_bytes
    return stripped


def frames_of(content: bytes) -> list[npt.NDArray[np.uint8]]:
    """The pixels as a viewer shows them."""
    image = Image.open(io.BytesIO(content))
    return [np.asarray(ImageOps.exif_transpose(frame.copy())) for frame in ImageSequence.Iterator(image)]


def assert_shows_the_same(stripped: bytes, original: bytes) -> None:
    first, second = frames_of(stripped), frames_of(original)
    assert len(first) == len(second)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    images = [Image.open(io.BytesIO(content)) for content in (stripped, original)]
    assert images[0].mode == images[1].mode
    assert images[0].info.get("icc_profile") == images[1].info.get("icc_profile")
    assert images[0].info.get("duration") == images[1].info.get("duration")
    for name in ("gamma", "chromaticity", "transparency", "loop"):
        assert images[0].info.get(name) == images[1].info.get(name)


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_segments(content: bytes, *segments: bytes, at: int = 2) -> bytes:
    return content[:at] + b"".join(segments) + content[at:]


def dressed_jpeg(orientation: int = 6, **options: Any) -> bytes:
    exif = exif_block(orientation, place=(48.1, 11.5)).replace(b"Maker\x00junk", SECRET[:10])
    content = jpeg(turned_for(SCENE, orientation), exif=exif, icc=PROFILE, xmp=XMP, comment=SECRET, **options)
    preview = jpeg(SCENE)
    return with_segments(
        content,
        segment(0xE0, b"JFXX\x00\x10" + SECRET),
        segment(0xE2, b"FPXR\x00" + SECRET),
        segment(0xED, b"Photoshop 3.0\x008BIM" + SECRET),
        segment(0xEB, SECRET),
        segment(0xEF, SECRET),
    ) + (preview + SECRET)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def dressed_png(content: bytes, *, behind: bool = False, orientation: int = 6) -> bytes:
    chunks = b"".join(
        (
            png_chunk(b"tEXt", b"Author\x00" + SECRET),
            png_chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(SECRET)),
            png_chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + XMP),
            png_chunk(b"tIME", b"\x07\xea\x01\x01\x01\x01\x01"),
            png_chunk(b"eXIf", exif_block(orientation, place=(1.0, 2.0)).removeprefix(b"Exif\x00\x00")),
            png_chunk(b"prVt", SECRET),
        )
    )
    at = len(content) - 12 if behind else 33
    return content[:at] + chunks + content[at:] + SECRET


def dressed_webp(image: Image.Image, orientation: int = 6, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, "WEBP", exif=exif_block(orientation, place=(1.0, 2.0)), xmp=XMP, icc_profile=PROFILE, **options)
    content = target.getvalue()
    unknown = b"PRIV" + struct.pack("<I", len(SECRET)) + SECRET + b"\x00" * (len(SECRET) % 2)
    return content[:4] + struct.pack("<I", len(content) - 8 + len(unknown)) + content[8:] + unknown + SECRET


def animated_webp() -> bytes:
    frames = [Image.new("RGB", (64, 48), color) for color in ("red", "green", "blue")]
    return dressed_webp(frames[0], save_all=True, append_images=frames[1:], duration=100, loop=2)


def animated_png() -> bytes:
    frames = [Image.new("RGB", (64, 48), color) for color in ("red", "green", "blue")]
    target = io.BytesIO()
    frames[0].save(target, "PNG", save_all=True, append_images=frames[1:], duration=100, loop=2)
    return dressed_png(target.getvalue(), orientation=1)


def adobe_rgb_jpeg() -> bytes:
    """Three components that are no YCbCr, which only Adobe's segment tells."""
    target = io.BytesIO()
    Image.fromarray(SCENE.numpy()).save(target, "JPEG", quality=92, keep_rgb=True)
    return target.getvalue()


PICTURE = Image.fromarray(SCENE.numpy())
DRESSED: dict[str, Callable[[], bytes]] = {
    "jpeg": dressed_jpeg,
    "progressive jpeg": lambda: dressed_jpeg(progressive=True),
    "jpeg with restarts": lambda: dressed_jpeg(restart_marker_blocks=3),
    "jpeg without end mark": lambda: jpeg(SCENE, comment=SECRET)[:-2],
    "gray jpeg": lambda: with_segments(STILLS["gray jpeg"](), segment(0xFE, SECRET)),
    "cmyk jpeg": lambda: with_segments(STILLS["cmyk jpeg with profile"](), segment(0xFE, SECRET)),
    "rgb jpeg": lambda: with_segments(adobe_rgb_jpeg(), segment(0xFE, SECRET)),
    "png": lambda: dressed_png(pil("RGB", "PNG", icc_profile=PROFILE)),
    "png with texts behind": lambda: dressed_png(pil("RGB", "PNG"), behind=True),
    "png with gamma": lambda: dressed_png(
        (plain := pil("RGB", "PNG"))[:33] + png_chunk(b"gAMA", struct.pack(">I", 100_000)) + plain[33:]
    ),
    "palette png": lambda: dressed_png(palette_png(SCENE)),
    "16-bit png": lambda: dressed_png(STILLS["16-bit png"]()),
    "interlaced png": lambda: dressed_png(STILLS["interlaced png"]()),
    "gray png with alpha": lambda: dressed_png(STILLS["gray png with alpha"]()),
    "animated png": animated_png,
    "png without end": lambda: dressed_png(pil("RGB", "PNG"))[: -12 - len(SECRET)],
    "webp": lambda: dressed_webp(PICTURE),
    "lossless webp": lambda: dressed_webp(PICTURE, lossless=True),
    "webp with alpha": lambda: dressed_webp(Image.open(io.BytesIO(palette_png(SCENE))).convert("RGBA")),
    "animated webp": animated_webp,
    "simple webp": lambda: pil("RGB", "WEBP") + SECRET,
}


@pytest.mark.parametrize("kind", DRESSED)
def test_picture_stays_and_metadata_goes(kind: str) -> None:
    content = DRESSED[kind]()
    stripped = strip(content)
    assert_shows_the_same(stripped, content + b"\xff\xd9" if kind == "jpeg without end mark" else content)
    assert SECRET in content
    for mark in (
        SECRET,
        SECRET[:10],
        b"adobe:ns",
        b"8BIM",
        b"FPXR",
        b"JFXX",
        b"Lens 35",
        b"tIME",
        zlib.compress(SECRET),
    ):
        assert mark not in stripped
    assert strip(stripped) == stripped
    exif = Image.open(io.BytesIO(stripped)).info.get("exif")
    assert exif is None or set(Image.open(io.BytesIO(stripped)).getexif()) == {0x0112}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_is_all_that_stays_of_exif(orientation: int) -> None:
    for content in (
        dressed_jpeg(orientation),
        dressed_png(pil("RGB", "PNG"), orientation=orientation, behind=True),
        dressed_webp(PICTURE, orientation),
    ):
        stripped = Image.open(io.BytesIO(strip(content)))
        assert dict(stripped.getexif()) == ({} if orientation == 1 else {0x0112: orientation})
    assert orientation_of(orientation_block(orientation)) == orientation


def test_segments_between_scans_go_too() -> None:
    content = jpeg(SCENE, progressive=True)
    scans = [at for at in range(len(content) - 1) if content[at : at + 2] == b"\xff\xda"]
    hidden = with_segments(content, segment(0xFE, SECRET), segment(0xE1, b"Exif\x00\x00" + SECRET), at=scans[2])
    stripped = strip(hidden)
    assert SECRET not in stripped
    assert_shows_the_same(stripped, content)


def test_nothing_hides_in_the_segments_that_stay() -> None:
    content = adobe_rgb_jpeg()
    at = content.index(b"Adobe") - 4
    longer = content[:at] + segment(0xEE, content[at + 4 : at + 16] + SECRET) + content[at + 16 :]
    assert SECRET not in strip(longer)
    plain = jpeg(SCENE)
    assert plain[6:11] == b"JFIF\x00"
    thumbnail = segment(0xE0, plain[6:18] + b"\x02\x02" + SECRET[:12])
    assert SECRET[:12] not in strip(plain[:2] + thumbnail + plain[20:])


@pytest.mark.parametrize("kind", ["gif", "tiff", "avif", "heic"])
def test_other_formats_are_not_copied(kind: str) -> None:
    with pytest.raises(CannotStrip):
        strip(STILLS[kind]())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xdb\xff\xff",
        b"\xff\xd8" + b"\xff" * 1000,
        b"\x89PNG\r\n\x1a\n",
        STILLS["png"]()[:33],
        STILLS["png"]()[:33] + png_chunk(b"IEND", b""),
        STILLS["png"]()[:33] + png_chunk(b"CgBI", b"\0\0\0\0") + STILLS["png"]()[33:],
        b"RIFF\x00\x00\x00\x00WEBP",
        b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0" + bytes(10),
        b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff",
    ],
)
def test_what_cannot_be_taken_apart_is_refused(content: bytes) -> None:
    with pytest.raises(CannotStrip):
        strip(content)


def test_pictures_behind_the_first_one_go() -> None:
    first = with_segments(jpeg(SCENE), segment(0xE2, b"MPF\x00" + SECRET))
    stripped = strip(first + jpeg(SCENE, comment=SECRET))
    assert_shows_the_same(stripped, jpeg(SCENE))
    assert SECRET not in stripped
    assert b"MPF" not in stripped


def test_frame_with_something_else_in_it_is_refused() -> None:
    content = animated_webp()
    at = content.index(b"ANMF")
    assert content[at + 24 : at + 28] in {b"VP8 ", b"VP8L"}
    with pytest.raises(CannotStrip):
        strip(content[: at + 24] + b"PRIV" + content[at + 28 :])


def test_hierarchical_jpeg_is_refused() -> None:
    with pytest.raises(CannotStrip):
        strip(with_segments(jpeg(SCENE), segment(0xDE, bytes(17))))


SMALL = pyvips.Image.new_from_array(SCENE.numpy()).thumbnail_image(40).numpy()


def small(kind: str) -> bytes:
    picture = Image.fromarray(SMALL)
    if kind == "webp":
        return dressed_webp(picture)
    target = io.BytesIO()
    picture.save(target, kind, exif=exif_block(6), xmp=XMP, comment=SECRET)
    return dressed_png(target.getvalue()) if kind == "png" else target.getvalue() + SECRET


SAMPLES = {kind: small(kind) for kind in ("jpeg", "png", "webp")}


@given(st.sampled_from(sorted(SAMPLES)), st.floats(0, 1))
@settings(max_examples=400, deadline=None)
def test_half_a_file_is_refused_or_gives_no_metadata(kind: str, share: float) -> None:
    content = SAMPLES[kind][: int(len(SAMPLES[kind]) * share)]
    try:
        stripped = strip(content)
    except CannotStrip:
        return
    assert SECRET not in stripped
    assert b"adobe:ns" not in stripped
    assert len(stripped) <= len(content) + 100


@given(st.sampled_from(sorted(SAMPLES)), st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=6)), max_size=8))
@settings(max_examples=400, deadline=None)
def test_damaged_files_raise_nothing_else(kind: str, changes: list[tuple[float, bytes]]) -> None:
    content = bytearray(SAMPLES[kind])
    for place, found in changes:
        at = int(place * len(content))
        content[at : at + len(found)] = found
    try:
        stripped = strip(bytes(content))
    except CannotStrip:
        return
    assert strip(stripped) == stripped


@given(st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\0\0WEBPVP8X"]), st.binary(max_size=600))
def test_any_bytes_raise_nothing_else(start: bytes, content: bytes) -> None:
    try:
        strip(start + content)
    except CannotStrip:
        return


def test_memory_does_not_grow_with_the_file() -> None:
    plain = jpeg(SCENE)
    at = plain.index(b"\xff\xda") + 14
    large = plain[:at] + bytes(30_000_000) + plain[at:]
    tracemalloc.start()
    try:
        pieces = strip_metadata(large)
        for part in islice(pieces.parts(large), 1, None):
            assert len(part) <= 1024 * 1024
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pieces.size_bytes > 30_000_000
    assert peak < 4_000_000


def test_countless_parts_are_refused() -> None:
    plain = pil("RGB", "PNG")
    many = (png_chunk(b"IDAT", b"") + png_chunk(b"tEXt", b"a\x00b")) * 12_000
    with pytest.raises(CannotStrip):
        strip(plain[:33] + many + plain[33:])
    with pytest.raises(CannotStrip):
        strip(plain[:33] + png_chunk(b"tEXt", b"a\x00b") * 100_001 + plain[33:])
    with pytest.raises(CannotStrip):
        strip(with_segments(jpeg(SCENE), segment(0xFE, b"") * 10_001))


def test_texts_that_inflate_are_not_read_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from image_engine.picture import png_blocks

    inflated: list[int] = []
    inflate = png_blocks._inflate

    def count(content: bytes) -> bytes:
        inflated.append(len(content))
        return inflate(content)

    monkeypatch.setattr(png_blocks, "_inflate", count)
    plain = pil("RGB", "PNG")
    bomb = png_chunk(b"zTXt", b"XML:com.adobe.xmp\x00\x00" + zlib.compress(bytes(100_000)))
    assert_shows_the_same(strip(plain[:33] + bomb * 500 + plain[33:]), plain)
    assert len(inflated) < 20


def test_stripping_loads_no_codec() -> None:
    code = (
        "import sys, image_engine.stripping.strip; "
        "assert not {'pyvips', 'numpy', 'PIL', 'pillow_heif'} & set(sys.modules), 'a codec is loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)


def test_full_size_request_fits_the_picture() -> None:
    def image_format(width_px: int = 100, *, has_alpha: bool = False, is_animated: bool = False) -> str:
        request = full_size_request(width_px, 50, has_alpha=has_alpha, is_animated=is_animated)
        assert (request.recipe.width_px, request.recipe.height_px) == (None, None)
        return request.format

    assert image_format() == "jpeg"
    assert image_format(has_alpha=True) == "png"
    assert image_format(has_alpha=True, is_animated=True) == "webp"
    assert image_format(16_384, is_animated=True) == "jpeg"
    limits = PictureLimits(max_frames=2)
    assert full_size_request(9, 9, has_alpha=False, is_animated=False, limits=limits).limits == limits
