import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.images.picture_header import PictureHeader, describe_unknown, detect


def jpeg(width: int, height: int, *, marker: int = 0xC0, before: bytes = b"") -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + before + bytes([0xFF, marker]) + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xda"


def jpeg_segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\x00\x00\x00"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(3)


def webp(chunk: bytes, content: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 12 + len(content)) + b"WEBP" + chunk + struct.pack("<I", len(content)) + content


def webp_lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height))


def webp_lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def webp_extended(width: int, height: int) -> bytes:
    return webp(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


def tiff(width: int, height: int, *, order: str = "<") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    entries = struct.pack(order + "HHII", 256, 4, 1, width) + struct.pack(order + "HHIHH", 257, 3, 1, height, 0)
    return mark + struct.pack(order + "HIH", 42, 8, 2) + entries + bytes(4)


def big_tiff(width: int, height: int) -> bytes:
    entries = b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in ((256, width), (257, height)))
    return b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, 2) + entries


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def heif(brand: bytes, *sizes: tuple[int, int], compatible: bytes = b"mif1", codec: bytes = b"") -> bytes:
    extents = b"".join(box(b"ispe", struct.pack(">III", 0, *size)) for size in sizes)
    properties = box(b"iprp", box(b"ipco", extents + codec))
    meta = box(b"meta", bytes(4) + box(b"hdlr", bytes(20)) + properties)
    return box(b"ftyp", brand + bytes(4) + compatible) + meta


PICTURES = {
    "jpeg": jpeg(640, 480),
    "png": png(640, 480),
    "gif": gif(640, 480),
    "webp": webp_lossy(640, 480),
    "tiff": tiff(640, 480),
    "avif": heif(b"avif", (640, 480)),
    "heic": heif(b"heic", (512, 512), (640, 480), (160, 120)),
}


@pytest.mark.parametrize(("name", "prefix"), PICTURES.items())
def test_format_and_size_are_read_from_the_bytes(name: str, prefix: bytes) -> None:
    header = detect(prefix)
    assert header is not None
    assert (header.format, header.width_px, header.height_px) == (name, 640, 480)
    assert header.content_type == f"image/{name}"
    assert describe_unknown(prefix) is None or name in {"avif", "heic"}


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA])
def test_every_jpeg_frame_type_gives_the_size(marker: int) -> None:
    segments = jpeg_segment(0xE1, b"Exif\x00\x00" + bytes(500)) + jpeg_segment(0xC4, bytes(30)) + b"\xff\xff"
    assert detect(jpeg(4000, 3000, marker=marker, before=segments)) == PictureHeader("jpeg", 4000, 3000)


@pytest.mark.parametrize("prefix", [webp_lossless(16383, 9), webp_extended(16383, 9), webp_lossy(16383, 9)])
def test_every_webp_layout_gives_the_size(prefix: bytes) -> None:
    assert detect(prefix) == PictureHeader("webp", 16383, 9)


@pytest.mark.parametrize("prefix", [tiff(70000, 300), tiff(70000, 300, order=">"), big_tiff(70000, 300)])
def test_every_tiff_layout_gives_the_size(prefix: bytes) -> None:
    assert detect(prefix) == PictureHeader("tiff", 70000, 300)


def test_general_container_brand_is_told_apart_by_its_codec() -> None:
    av1 = heif(b"mif1", (64, 48), compatible=b"miaf", codec=box(b"av1C", bytes(4)))
    hevc = heif(b"mif1", (64, 48), compatible=b"miaf", codec=box(b"hvcC", bytes(4)))
    assert detect(av1) == PictureHeader("avif", 64, 48)
    assert detect(hevc) == PictureHeader("heic", 64, 48)
    assert detect(heif(b"msf1", (64, 48), compatible=b"hevc")) == PictureHeader("heic", 64, 48)


def test_zero_size_is_reported_as_it_stands() -> None:
    assert detect(png(0, 480)) == PictureHeader("png", 0, 480)


def test_extension_is_the_customary_one() -> None:
    extensions = {name: header.extension for name, prefix in PICTURES.items() if (header := detect(prefix))}
    assert extensions == {name: {"jpeg": "jpg", "tiff": "tif"}.get(name, name) for name in PICTURES}


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [
        (b'<?xml version="1.0"?><!-- a --><svg xmlns="http://www.w3.org/2000/svg">', "an SVG drawing"),
        (b"\xef\xbb\xbf\n<svg>", "an SVG drawing"),
        (b"<!DOCTYPE html><title>x</title>", "an HTML page"),
        (b"<?xml version='1.0'?><feed/>", "an XML document"),
        (b"BM" + bytes(30), "a BMP picture"),
        (b"\x00\x00\x01\x00\x01\x00", "a Windows icon"),
        (b"8BPS\x00\x01", "a Photoshop document"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\xff\x0a\x00", "a JPEG XL picture"),
        (b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a", "a JPEG XL picture"),
        (b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a", "a JPEG 2000 picture"),
        (box(b"ftyp", b"isom" + bytes(4) + b"mp42"), "an MP4 video"),
        (box(b"ftyp", b"qt  " + bytes(4)), "a QuickTime video"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "a camera raw file"),
        (b"PK\x03\x04", "a ZIP archive or an Office document"),
    ],
)
def test_known_kinds_that_are_no_pictures_of_ours_have_a_name(prefix: bytes, kind: str) -> None:
    assert detect(prefix) is None
    assert describe_unknown(prefix) == kind


@pytest.mark.parametrize("prefix", [b"", b"hello", b"\x00" * 64, b"\xff\xd8", b"RIFF\x00\x00\x00\x00WEB"])
def test_unknown_bytes_have_no_format(prefix: bytes) -> None:
    assert detect(prefix) is None


@given(st.sampled_from(list(PICTURES.values())), st.integers(0, 200))
def test_truncated_prefix_gives_the_true_size_or_none(whole: bytes, length: int) -> None:
    header = detect(whole[:length])
    if header is not None:
        assert (header.width_px is None) == (header.height_px is None)
        assert header.width_px in {None, 640, 512}


@given(st.sampled_from([b"", *(picture[:16] for picture in PICTURES.values())]), st.binary(max_size=300))
def test_any_bytes_are_answered_without_an_error(start: bytes, rest: bytes) -> None:
    header = detect(start + rest)
    describe_unknown(start + rest)
    if header is not None and header.width_px is not None:
        assert header.width_px >= 0


# --- TIFF: pages, raw files, what is not decoded ------------------------------------------------------------------


def tiff_pages(*pages: dict[int, int], padding: int = 0) -> bytes:
    """A chain of directories of 16-bit and 32-bit numbers, the first one behind some padding."""
    offset, content = 8 + padding, bytearray(struct.pack("<2sHI", b"II", 42, 8 + padding) + bytes(padding))
    for index, page in enumerate(pages):
        offset += 2 + 12 * len(page) + 4
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(page.items()))
        content += struct.pack("<H", len(page)) + entries
        content += struct.pack("<I", offset if index + 1 < len(pages) else 0)
    return bytes(content)


PREVIEW = {254: 1, 256: 40, 257: 30, 262: 2}
WHOLE = {254: 0, 256: 6000, 257: 4000, 258: 8, 259: 1, 262: 1}


def test_size_of_a_tiff_is_that_of_the_page_to_show() -> None:
    assert detect(tiff_pages(PREVIEW, WHOLE)) == PictureHeader("tiff", 6000, 4000)
    cut = tiff_pages(PREVIEW, WHOLE)[:-20]
    assert detect(cut) == PictureHeader("tiff", None, None)


def test_a_loop_of_directories_ends() -> None:
    content = tiff_pages(WHOLE)
    assert detect(content[:-4] + struct.pack("<I", 8)) == PictureHeader("tiff", 6000, 4000)


@pytest.mark.parametrize(
    "prefix",
    [
        tiff_pages({**WHOLE, 50706: 0x0401}),
        tiff_pages({**WHOLE, 262: 32803}),
        tiff_pages({**WHOLE, 262: 34892}),
        tiff_pages({**WHOLE, 259: 65535}),
        tiff_pages(PREVIEW, {**WHOLE, 33422: 1}),
        # The sensor's directory lies beyond the first bytes: only a camera puts its preview before that.
        tiff_pages({**PREVIEW, 271: 1, 330: 1_000_000}),
        b"II*\x00\x10\x00\x00\x00CR\x02\x00",
        b"II*\x00\x38\x00\x00\x00IIII\x00waR",
        b"MM\x00*\x00\x00\x00\x38MMMMRaw\x00",
        b"IIRS\x08\x00\x00\x00",
        b"IIU\x00\x08\x00\x00\x00",
        b"II\x1a\x00\x00\x00HEAPCCDR",
    ],
)
def test_a_camera_raw_file_is_no_tiff(prefix: bytes) -> None:
    assert detect(prefix) is None
    assert describe_unknown(prefix) == "a camera raw file"


@pytest.mark.parametrize("pixels", [b"I" * 32, b"M" * 32, b"CR\x02\x00" * 8])
def test_pixels_that_begin_as_a_mark_of_cameras_do_are_none(pixels: bytes) -> None:
    assert detect(b"II*\x00\x28\x00\x00\x00" + pixels) == PictureHeader("tiff", None, None)
    assert detect(b"MM\x00*\x00\x00\x00\x28" + pixels) == PictureHeader("tiff", None, None)


def test_an_ordinary_tiff_from_a_camera_is_none() -> None:
    assert detect(tiff_pages({**WHOLE, 271: 1, 330: 1_000_000})) == PictureHeader("tiff", 6000, 4000)
    assert detect(tiff_pages({**PREVIEW, 330: 1_000_000})) == PictureHeader("tiff", None, None)


@pytest.mark.parametrize(
    ("prefix", "phrase"),
    [
        (tiff_pages({**WHOLE, 259: 50000}), "Zstandard"),
        (tiff_pages({**WHOLE, 258: 14}), "14 bits"),
        (tiff_pages({**WHOLE, 258: 64, 339: 3}), "64 bits"),
        (png(640, 480)[:8] + struct.pack(">I4sI", 4, b"CgBI", 0) + png(640, 480)[8:], "CgBI"),
        (jpeg(640, 480, marker=0xC1).replace(b"\x08\x01\xe0", b"\x0c\x01\xe0"), "12 bits"),
        (jpeg(640, 480, marker=0xCB), "lossless"),
    ],
)
def test_what_is_not_decoded_here_is_named(prefix: bytes, phrase: str) -> None:
    header = detect(prefix)
    assert header is not None
    assert phrase in (header.unsupported or "")


def test_nothing_is_said_of_values_beyond_the_first_bytes() -> None:
    # Three depths do not fit into an entry; they stand where the offset leads.
    content = tiff_pages({**WHOLE, 262: 2, 277: 3})
    place = content.index(struct.pack("<HHII", 258, 4, 1, 8))
    content = content[:place] + struct.pack("<HHII", 258, 3, 3, 1_000_000) + content[place + 12 :]
    assert detect(content) == PictureHeader("tiff", 6000, 4000)


# --- Limits of a kind's own ---------------------------------------------------------------------------------------


def png_of(depth: int, color: int, *, interlaced: bool) -> bytes:
    return png(640, 480)[:24] + bytes([depth, color, 0, 0, interlaced])


def avif_of(flags: int, *, alpha: bool) -> bytes:
    kinds = [box(b"ispe", struct.pack(">III", 0, 640, 480)), box(b"av1C", bytes([0x81, 0, flags, 0]))]
    return heif_of(kinds, alpha=alpha)


def heic_of(chroma: int, deep: int, *, alpha: bool) -> bytes:
    kinds = [
        box(b"ispe", struct.pack(">III", 0, 640, 480)),
        box(b"hvcC", bytes(16) + bytes([chroma, deep, deep, 0, 0])),
    ]
    return heif_of(kinds, alpha=alpha).replace(b"avif", b"heic")


def heif_of(properties: list[bytes], *, alpha: bool) -> bytes:
    """A primary item with its properties, and perhaps a second one that is its alpha."""
    found = [
        *properties,
        *([box(b"auxC", bytes(4) + b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\x00")] if alpha else []),
    ]
    numbers = bytes(range(1, len(properties) + 1))
    associated = struct.pack(">HB", 1, len(numbers)) + numbers
    if alpha:
        associated += struct.pack(">HBB", 2, 1, len(found))
    ipma = box(b"ipma", bytes(4) + struct.pack(">I", 2 if alpha else 1) + associated)
    iprp = box(b"iprp", box(b"ipco", b"".join(found)) + ipma)
    meta = box(b"meta", bytes(4) + box(b"pitm", bytes(4) + struct.pack(">H", 1)) + iprp)
    return box(b"ftyp", b"avif" + bytes(4) + b"mif1") + meta


@pytest.mark.parametrize(
    ("prefix", "max_pixels"),
    [
        (png_of(16, 6, interlaced=True), 36_000_000),
        (png_of(16, 6, interlaced=False), None),
        (png_of(16, 2, interlaced=True), None),
        (png_of(8, 6, interlaced=True), None),
        (jpeg(640, 480, marker=0xC2).replace(b"\x01\xe0\x02\x80\x03", b"\x01\xe0\x02\x80\x04"), 40_000_000),
        (jpeg(640, 480, marker=0xC0).replace(b"\x01\xe0\x02\x80\x03", b"\x01\xe0\x02\x80\x04"), None),
        (jpeg(640, 480, marker=0xC2), None),
        (avif_of(0x40, alpha=True), 36_000_000),
        (avif_of(0x40, alpha=False), None),
        (avif_of(0x4C, alpha=True), None),
        (avif_of(0x00, alpha=True), None),
        (heic_of(3, 2, alpha=False), 30_000_000),
        (heic_of(1, 2, alpha=True), 30_000_000),
        (heic_of(2, 2, alpha=False), None),
        (heic_of(3, 0, alpha=True), None),
    ],
)
def test_kinds_that_are_held_whole_have_a_limit_of_their_own(prefix: bytes, max_pixels: int | None) -> None:
    header = detect(prefix)
    assert header is not None
    assert (header.width_px, header.height_px, header.max_pixels) == (640, 480, max_pixels)
